// The streams and environment of a command line: from the process, or from a caller in the same process.
import { once } from "../../../ground/base/once.js";
import { AsyncLocalStorage } from "node:async_hooks";
import { readSync } from "node:fs";
import type { DeviceKind } from "../../../runtime/device/device-info.js";
import { readToEnd } from "../../../ground/files/regular-node.js";
import { UserError } from "./exit.js";

/** A destination of text, such as a Node stream. */
export interface Output {
  write(text: string): unknown;
  /** Whether it is a terminal, in which lines are redrawn and coloured. */
  readonly isTTY?: boolean;
  /** Width in characters, if known. */
  readonly columns?: number;
}

export interface CliIo {
  readonly stdout: Output;
  readonly stderr: Output;
  /** All of standard input. */
  readonly stdin: () => Uint8Array;
  /**
   * What the command line itself reads of the environment: colours, where tunings lie, MODC_DEBUG. Drivers read that of
   * the process.
   */
  readonly env: Readonly<Record<string, string | undefined>>;
  /**
   * The caller's device for a kind that `--device` names (null: the best available). If the result is null, the command
   * opens a device.
   */
  readonly device: (kind: DeviceKind | null) => GPUDevice | null;
}

const ofProcess: CliIo = {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: readStandardInput,
  env: process.env,
  device: () => null,
};

/** Beyond any text a person wrote or a compiler made. */
const MOST_BYTES = 512 * 1024 * 1024;

/** Reads to the end of input. A non-blocking pipe is polled. */
function readStandardInput(): Uint8Array {
  return readToEnd(
    readPiece,
    MOST_BYTES,
    () => new UserError(`standard input has more than ${MOST_BYTES} bytes, the most that modc reads`),
  );
}

function readPiece(piece: Uint8Array): number {
  for (;;) {
    try {
      return readSync(0, piece);
    } catch (fault) {
      const { code } = fault as NodeJS.ErrnoException; // as the system's errors have it
      if (code === "EOF") return 0;
      if (code !== "EAGAIN") throw new UserError(`cannot read standard input: ${code ?? String(fault)}`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

const streams = new AsyncLocalStorage<CliIo & { readonly ownInput: boolean }>();

/** The streams of the command line running here, else of the process. */
export const io = (): CliIo => streams.getStore() ?? ofProcess;

/** Whether standard input is the process's own, which can be read in pieces as it arrives. */
export const ownInput = (): boolean => streams.getStore()?.ownInput ?? true;

/** Runs `body`, including its asynchronous continuations, with other streams. Several may run at the same time. */
export const withIo = <T>(other: Partial<CliIo>, body: () => T): T => {
  const all = { ...ofProcess, ...other };
  // Caches standard input, as a command may read a source several times.
  return streams.run({ ...all, stdin: once(all.stdin), ownInput: other.stdin === undefined }, body);
};
