// The user's folders: home, and the cache of device measurements. Node only.
import { lstatSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The user's cache folder: in XDG_CACHE_HOME if that is an absolute path, as its specification requires, else in
 * ~/.cache; on Windows in the local application data. A user without a home, as in containers that run programs under
 * any user id, gets a temporary folder and one warning.
 */
export function userCache(env: Environment): string {
  const named = process.platform === "win32" ? env["LOCALAPPDATA"] : env["XDG_CACHE_HOME"];
  if (named && isAbsolute(named)) return join(named, "modc");
  const home = homeFolder();
  if (home !== null) return join(home, ".cache", "modc");
  const folder = temporaryCache();
  if (!warned)
    process.emitWarning(
      `there is no home folder (HOME), so modc keeps its measurements of devices in ${folder}; set ` +
        "XDG_CACHE_HOME to keep them elsewhere",
      "ModcWarning",
    );
  warned = true;
  return folder;
}

let warned = false;

/**
 * The user's home; null if the system knows none, for which `homedir` throws, or returns a path that is not absolute.
 */
export function homeFolder(home: () => string = homedir): string | null {
  try {
    const path = home();
    return isAbsolute(path) ? path : null;
  } catch {
    return null; // it throws for no other reason
  }
}

/**
 * The user's folder in the temporary folder or, if another user has created one of that name, a folder of this process.
 */
export function temporaryCache(folder = tmpdir()): string {
  const uid = process.getuid?.() ?? 0;
  const path = join(folder, `modc-${uid}`);
  const owner = lstatSync(path, { throwIfNoEntry: false })?.uid ?? uid;
  return process.getuid === undefined || owner === uid ? path : `${path}-${process.pid}`;
}
