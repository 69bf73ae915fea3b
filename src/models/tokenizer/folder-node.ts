// Whether a path is a folder. Node only.
import { statSync } from "node:fs";

/** False also for an unreachable path; the reader of the path reports the reason. */
export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false; // the reader reports why it cannot be reached
  }
}
