// Determines the kind of a path: a folder, or a GGUF file. Node only.
import { statSync } from "node:fs";
import { hasGgufName } from "../../runtime/weights/gguf/magic.js";

/** False also for an unreachable path; the reader of the path reports the reason. */
export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false; // the reader reports why it cannot be reached
  }
}

/** Whether a path is named as GGUF files are, and is no folder. The reader of an unreachable path reports the reason. */
export const isGgufPath = (path: string): boolean => hasGgufName(path) && !isFolder(path);
