// Files that a model's file imports: those of its own folder and no others. Node only.
import { realpathSync } from "node:fs";
import { dirname, join, resolve, sep } from "node:path";
import type { Read } from "../check/names/files.js";

/**
 * Reads files that a root file imports, by their path relative to its folder: null where there is none. Files whose
 * real path leaves that folder are refused, links included.
 */
export function importsBeside(root: string, readText: (path: string) => Exclude<ReturnType<Read>, null>): Read {
  const folder = dirname(resolve(root));
  return (path) => {
    const full = join(folder, path);
    let real: string;
    try {
      real = realpathSync(full);
    } catch {
      return null; // the compiler says where it is imported
    }
    const home = realpathSync(folder);
    if (!real.startsWith(home.endsWith(sep) ? home : home + sep)) {
      return { refused: `it is a link to ${real}, outside the folder of the file that is compiled` };
    }
    return readText(full);
  };
}
