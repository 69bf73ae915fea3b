// Python processes that answer tests: each imports its modules once, for all files of a worker, while the worker goes
// on.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

interface Waiting {
  readonly resolve: (answers: unknown) => void;
  readonly reject: (error: Error) => void;
}

interface Server {
  readonly child: ChildProcess;
  /** Requests that are not answered yet, in the order of their answers. */
  readonly waiting: Waiting[];
}

/**
 * A Python with all of these modules; /usr/bin/python3 is tried first, because Debian installs packages
 * for it.
 */
export function pythonWith(...modules: readonly string[]): string | undefined {
  const find = `import importlib.util as u, sys; sys.exit(not all(u.find_spec(m) for m in ${JSON.stringify(modules)}))`;
  return ["/usr/bin/python3", "python3"].find((command) => spawnSync(command, ["-c", find]).status === 0);
}

export class PythonServer {
  #running: Server | null = null;

  constructor(
    private readonly python: string | undefined,
    private readonly script: URL,
  ) {}

  /**
   * Calls the script's function `answer` for each job; an `Answer` has the script's own form. It may be asked long
   * before it is awaited: a failure waits too.
   */
  ask<Answer>(script: URL, jobs: readonly unknown[]): Promise<readonly Answer[]> {
    const own = this.#server();
    const answers = new Promise<unknown>((resolve, reject) => own.waiting.push({ resolve, reject }));
    answers.catch(() => {});
    hold(own);
    own.child.stdin!.write(`${JSON.stringify({ script: fileURLToPath(script), jobs })}\n`);
    return answers as Promise<readonly Answer[]>;
  }

  #server(): Server {
    if (this.#running) return this.#running;
    const child = spawn(this.python!, [fileURLToPath(this.script)], { stdio: ["pipe", "pipe", "pipe"] });
    const own: Server = { child, waiting: [] };
    let told = "";
    child.stderr.on("data", (text: Buffer) => (told = (told + text.toString()).slice(-10_000)));
    child.stdin.on("error", () => {}); // it ended: what waits hears of that below
    createInterface({ input: child.stdout }).on("line", (line) => {
      const { answers, error } = replyIn(line);
      const { resolve, reject } = own.waiting.shift()!;
      if (error === undefined) resolve(answers);
      else reject(new Error(error));
      hold(own);
    });
    child.on("close", (code, signal) => {
      this.#running = null;
      const how = signal === null ? `with status ${code}` : `by ${signal}`;
      for (const { reject } of own.waiting.splice(0)) reject(new Error(`Python ended ${how}: ${told}`));
    });
    return (this.#running = own);
  }
}

/** The reply of a line, or what is wrong with it: nothing that Python prints leaves a test waiting. */
function replyIn(line: string): { readonly answers?: unknown; readonly error?: string } {
  try {
    return JSON.parse(line) as { answers?: unknown; error?: string }; // the server's own form
  } catch (fault) {
    return { error: `Python replied with what is no JSON: ${String(fault)}: ${line.slice(0, 200)}` };
  }
}

/** The worker stays for what it waits for, and for no server that is idle. */
function hold({ child, waiting }: Server): void {
  const streams = [child.stdin, child.stdout, child.stderr] as unknown as readonly { ref(): void; unref(): void }[];
  for (const it of [child, ...streams])
    if (waiting.length > 0) it.ref();
    else it.unref();
}
