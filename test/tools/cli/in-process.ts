// Runs the command line in this process, from its source: for tests that need no separate process.
import type { CliIo } from "../../../src/tools/cli/terminal/io.js";
import { runCli } from "../../../src/tools/cli/run-cli.js";
import type { Device } from "../../../src/runtime/index.js";
import { testDevice, type TestDevice } from "../../device.js";

export interface Ran {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Standard input; by default it is empty. */
  readonly stdin?: string | Uint8Array;
  /** The whole environment of the command line. */
  readonly env?: Readonly<Record<string, string>>;
}

/** `modc …`, to its end. Lines that tell of progress are dropped: they appear if a step takes longer than a second. */
export async function run(words: readonly string[], { stdin = "", env = {} }: RunOptions = {}): Promise<Ran> {
  const [stdout, stderr]: [string[], string[]] = [[], []];
  const status = await runCli(words, {
    stdout: { write: (text) => stdout.push(text) },
    stderr: { write: (text) => stderr.push(text) },
    stdin: () => (typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin),
    env,
    device: await openDevices(),
  });
  return { status, stdout: stdout.join(""), stderr: stderr.join("").replaceAll(/^[a-z][a-z ,]* …\n/gm, "") };
}

/** The devices of the tests: what one command line compiles for a device, the next one finds there. */
async function openDevices(): Promise<CliIo["device"]> {
  const [best, swiftshader] = await Promise.all([opened("default"), opened("swiftshader")]);
  return (kind) => {
    const device = kind === "swiftshader" ? swiftshader : best;
    const suits = kind === null || kind === "swiftshader" || device?.info.software === (kind === "software");
    return device && suits ? device.gpu : null;
  };
}

/** Null where there is none. */
const opened = (which: TestDevice): Promise<Device | null> => testDevice(which).catch(() => null);
