// The user's folders: home, and the cache where measurements of devices are kept. Node only.
import { lstatSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * In XDG_CACHE_HOME if that is an absolute path, as its specification requires, else in ~/.cache; on Windows in the
 * local application data. A user without a home, as containers run programs by any number, has a folder among the
 * temporary ones, and is told once.
 */
export function userCache(env: Environment): string {
  const named = process.platform === "win32" ? env["LOCALAPPDATA"] : env["XDG_CACHE_HOME"];
  if (named && isAbsolute(named)) return join(named, "modc");
  const home = homeFolder();
  if (home !== null) return join(home, ".cache", "modc");
  const folder = temporaryCache();
  if (!warned)
    process.emitWarning(
      `there is no home folder (HOME): what modc measures of devices is kept in ${folder}; XDG_CACHE_HOME names ` +
        "another place",
      "ModcWarning",
    );
  warned = true;
  return folder;
}

let warned = false;

/** The user's home; null where the system knows none, of which `homedir` throws, or says what is no absolute path. */
export function homeFolder(home: () => string = homedir): string | null {
  try {
    const found = home();
    return isAbsolute(found) ? found : null;
  } catch {
    return null; // it throws for nothing else
  }
}

/** The user's folder among the temporary ones, or, where another user has put one there, a folder of this process. */
export function temporaryCache(folder = tmpdir()): string {
  const uid = process.getuid?.() ?? 0;
  const path = join(folder, `modc-${uid}`);
  const owner = lstatSync(path, { throwIfNoEntry: false })?.uid ?? uid;
  return process.getuid === undefined || owner === uid ? path : `${path}-${process.pid}`;
}
