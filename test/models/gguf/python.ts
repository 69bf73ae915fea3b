// Runs the Python scripts of these tests, which read and write GGUF files independently of modc.
import { execFile, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Key } from "./vocabularies.js";

export const hasPython = spawnSync("python3", ["-c", ""]).status === 0;
/** A suffix for test names, which says why the tests are skipped. */
export const pythonNote = hasPython ? "" : " (skipped: there is no python3)";

/** What a script prints, given JSON. */
export function askPython(script: "write.py" | "blocks.py", input: unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    const path = fileURLToPath(new URL(script, import.meta.url));
    const options = { maxBuffer: 1 << 28 };
    const child = execFile("python3", [path], options, (error, stdout) => (error ? reject(error) : resolve(stdout)));
    child.stdin!.end(JSON.stringify(input));
  });
}

/** A GGUF file to write: see `write.py`. */
export interface GgufJob {
  readonly output: string;
  readonly folder?: string;
  readonly type?: "F32" | "F16" | "BF16" | "Q8_0" | "Q4_0";
  readonly version?: 2 | 3;
  readonly keys?: readonly Key[];
}

export const writeGguf = async (jobs: readonly GgufJob[]): Promise<void> => void (await askPython("write.py", jobs));
