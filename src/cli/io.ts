// What a command line reads and writes beside files: the streams of the process, or those of a caller in the same process.
import { AsyncLocalStorage } from "node:async_hooks";
import { readFileSync } from "node:fs";

/** Where text goes; a stream of Node is one. */
export interface Output {
  write(text: string): unknown;
  /** Whether a person reads along, so that lines are drawn over and coloured. */
  readonly isTTY?: boolean;
  /** Width in characters, where it is known. */
  readonly columns?: number;
}

export interface CliIo {
  readonly stdout: Output;
  readonly stderr: Output;
  /** All of standard input. */
  readonly stdin: () => Uint8Array;
  /** What the command line itself reads of the environment: colours, where tunings lie, MODC_DEBUG. Drivers read that of the process. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

const ofProcess: CliIo = {
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: () => readFileSync(0),
  env: process.env,
};

const given = new AsyncLocalStorage<CliIo>();

/** Of the command line that is running here, else of the process. */
export const io = (): CliIo => given.getStore() ?? ofProcess;

/** Runs `body`, and whatever it waits for, with other streams. Several may run at the same time. */
export const withIo = <T>(other: Partial<CliIo>, body: () => T): T => given.run({ ...ofProcess, ...other }, body);
