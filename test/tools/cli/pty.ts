// Runs the built command line in a pseudo terminal, and types into it.
import { spawn } from "node:child_process";
import { pythonWith } from "../../python.js";
import { main, root } from "./spawn.js";

/** The Python that opens pseudo terminals; undefined where there is none. */
export const ptyPython = pythonWith("pty");

const PTY = `
import json, os, pty, select, sys, time
(steps, file), words = json.loads(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    if file: os.dup2(os.open(file[1], os.O_WRONLY | os.O_CREAT), file[0])
    os.execvp(words[0], words)
text, seen, late = b"", 0, time.time() + 60
while True:
    if time.time() > late:
        os.kill(pid, 9)
        break
    if select.select([terminal], [], [], 0.1)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:
            break
        if not piece: break
        text += piece
    at = text.find(steps[0][0].encode(), seen) if steps else -1
    if at >= 0:
        seen = at + len(steps[0][0].encode())
        os.write(terminal, steps.pop(0)[1].encode())
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps([status, text.decode("utf8", "replace")]))
`;

/** What to type once the terminal shows this, behind what it showed at the step before. */
export type Step = readonly [shown: string, typed: string];

/**
 * `modc …` in a terminal, to its end: its exit code, or less than 0 for the signal that ended it, as after a minute;
 * and all that the terminal was sent. `file`: a stream that goes to a file instead.
 */
export function inTerminal(
  words: readonly string[],
  steps: readonly Step[],
  file: readonly [stream: 1 | 2, path: string] | null = null,
): Promise<readonly [status: number, shown: string]> {
  const { NO_COLOR: _color, ...rest } = process.env;
  const run = ["-c", PTY, JSON.stringify([steps, file]), process.execPath, main, ...words];
  return new Promise((resolve, reject) => {
    const child = spawn(ptyPython!, run, {
      cwd: root,
      env: { ...rest, TERM: "xterm" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (piece: string) => (text += piece));
    child.on("error", reject).on("close", () => {
      // As the script prints.
      if (text === "") reject(new Error("the pseudo terminal told nothing"));
      else resolve(JSON.parse(text) as [number, string]);
    });
  });
}
