// Whether a path is a folder. Node only.
import { statSync } from "node:fs";

/** False too where it cannot be reached: why is told where it is read. */
export function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false; // why it cannot be reached is told where it is read
  }
}
