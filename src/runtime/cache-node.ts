// The user's cache folder, where measurements of devices are kept. Node only.
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/**
 * In XDG_CACHE_HOME if that is an absolute path, as its specification requires, else in ~/.cache; on Windows in the
 * local application data.
 */
export function userCache(env: Readonly<Record<string, string | undefined>>): string {
  const named = process.platform === "win32" ? env["LOCALAPPDATA"] : env["XDG_CACHE_HOME"];
  return join(named && isAbsolute(named) ? named : join(homedir(), ".cache"), "modc");
}
