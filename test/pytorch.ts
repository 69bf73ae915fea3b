// Accounts that tests hold results against in PyTorch. One Python process answers all files of a worker, while the
// worker goes on; where Python has no torch, such tests are skipped, and say so.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const SERVER = fileURLToPath(new URL("pytorch.py", import.meta.url));
const FIND = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)";
/** Debian's own first, for which its package python3-torch is. */
const python = ["/usr/bin/python3", "python3"].find((command) => spawnSync(command, ["-c", FIND]).status === 0);

export const hasTorch = python !== undefined;
/** Behind the name of tests that need it. */
export const torchNote = hasTorch ? "" : " (skipped: python3 has no torch; on Debian it is python3-torch)";

interface Waiting {
  readonly resolve: (answers: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Server {
  readonly child: ChildProcess;
  /** Requests that are not answered yet, in the order of their answers. */
  readonly waiting: Waiting[];
}

let running: Server | null = null;

function server(): Server {
  if (running) return running;
  const child = spawn(python!, [SERVER], { stdio: ["pipe", "pipe", "pipe"] });
  const own: Server = { child, waiting: [] };
  let told = "";
  child.stderr.on("data", (text: Buffer) => (told += text.toString()));
  child.stdin.on("error", () => {}); // it ended: what waits hears of that below
  createInterface({ input: child.stdout }).on("line", (line) => {
    const { answers, error } = JSON.parse(line) as { answers?: unknown; error?: string }; // the server's own form
    const { resolve, reject } = own.waiting.shift()!;
    if (error === undefined) resolve(answers);
    else reject(new Error(error));
    hold(own);
  });
  child.on("close", () => {
    running = null;
    for (const { reject } of own.waiting.splice(0)) reject(new Error(`Python ended: ${told}`));
  });
  return (running = own);
}

/** The worker stays for what it waits for, and for no server that is idle. */
function hold({ child, waiting }: Server): void {
  const streams = [child.stdin, child.stdout, child.stderr] as unknown as readonly { ref(): void; unref(): void }[];
  for (const it of [child, ...streams])
    if (waiting.length > 0) it.ref();
    else it.unref();
}

/**
 * What the function `answer` of that script makes of each job; an `Answer` has the script's own form. It may be asked
 * long before it is awaited: a failure waits too.
 */
export function askTorch<Answer>(script: URL, jobs: readonly unknown[]): Promise<readonly Answer[]> {
  const own = server();
  const answers = new Promise<unknown>((resolve, reject) => own.waiting.push({ resolve, reject }));
  answers.catch(() => {});
  hold(own);
  own.child.stdin!.write(`${JSON.stringify({ script: fileURLToPath(script), jobs })}\n`);
  return answers as Promise<readonly Answer[]>;
}
