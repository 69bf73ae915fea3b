// Accounts that tests hold results against in PyTorch; where Python has no torch, such tests are skipped, and say so.
import { PythonServer, pythonWith } from "./python.js";

/** The command that has it; undefined: none. */
export const python = pythonWith("torch");
const server = new PythonServer(python, new URL("pytorch.py", import.meta.url));

export const hasTorch = python !== undefined;
/** A suffix for test names, which says why the tests are skipped. */
export const torchNote = hasTorch ? "" : " (skipped: python3 has no torch; on Debian it is python3-torch)";

/** What the function `answer` of that script makes of each job, in 64-bit floats. */
export const askTorch = <Answer>(script: URL, jobs: readonly unknown[]): Promise<readonly Answer[]> =>
  server.ask(script, jobs);
