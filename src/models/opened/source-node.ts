// Reads the imports of a model's file, restricted to the file's own folder. Node only.
import { realpathSync } from "node:fs";
import { dirname, join, resolve, sep } from "node:path";
import type { Read } from "../../language/check/names/files.js";

/**
 * Returns a function that reads imported files by their path relative to the root file's folder: null for a missing
 * file. Refuses files whose real path is outside that folder, also through links.
 */
export function importsBeside(root: string, readText: (path: string) => Exclude<ReturnType<Read>, null>): Read {
  const folder = dirname(resolve(root));
  return (path) => {
    const full = join(folder, path);
    let real: string;
    try {
      real = realpathSync(full);
    } catch {
      return null; // the compiler reports it at the import
    }
    const home = realpathSync(folder);
    if (!real.startsWith(home.endsWith(sep) ? home : home + sep)) {
      return { refused: `it is a link to ${real}, outside the folder of the file that is compiled` };
    }
    return readText(full);
  };
}
