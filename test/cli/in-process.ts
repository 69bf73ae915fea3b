// Runs the command line in this process, from its source: for tests where a process of its own is not the point.
import { runCli } from "../../src/cli/run-cli.js";

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

/** `modc …`, to its end. Lines that tell of progress are dropped: they come where it takes longer than a second. */
export async function run(words: readonly string[], { stdin = "", env = {} }: RunOptions = {}): Promise<Ran> {
  const [stdout, stderr]: [string[], string[]] = [[], []];
  const status = await runCli(words, {
    stdout: { write: (text) => stdout.push(text) },
    stderr: { write: (text) => stderr.push(text) },
    stdin: () => (typeof stdin === "string" ? new TextEncoder().encode(stdin) : stdin),
    env,
  });
  return { status, stdout: stdout.join(""), stderr: stderr.join("").replaceAll(/^[a-z][a-z ,]* …\n/gm, "") };
}
