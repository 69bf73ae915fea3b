// Undoes the creation of a run's folder if the run fails before it begins. Node only.
import { readdir, rm, rmdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { errnoOf } from "../../ground/base/errno.js";

export interface Unbegun {
  /** Removes the files created inside the folder. Call it while holding the lock. */
  inside(): Promise<void>;
  /** Removes the folder and the parent folders that were created for it. Call it after releasing the lock. */
  folder(): Promise<void>;
}

/**
 * Records which folders exist before a run creates its own. Later only new folders are removed, and only if they
 * contain no files of others.
 */
export async function noteFolder(path: string, { cache }: { readonly cache: string }): Promise<Unbegun> {
  const missing: string[] = [];
  for (let at = resolve(path); (await namesIn(at)) === null; at = dirname(at)) missing.push(at);
  const own = await namesIn(path);
  const tokens = new Set(await namesIn(join(path, cache)));
  return {
    async inside() {
      for (const name of (await namesIn(join(path, cache))) ?? [])
        if (!tokens.has(name)) await rm(join(path, cache, name), { recursive: true, force: true });
      for (const name of (await namesIn(path)) ?? [])
        if (own === null || !own.includes(name)) await removeEmpty(join(path, name));
    },
    async folder() {
      for (const folder of missing) await removeEmpty(folder);
    },
  };
}

/** The names in a folder; null if there is no folder. */
async function namesIn(path: string): Promise<readonly string[] | null> {
  try {
    return await readdir(path);
  } catch (fault) {
    if (errnoOf(fault) === null) throw fault;
    return null;
  }
}

/** Folders that are not empty, or cannot be removed, stay: the error that prevented the run is reported instead. */
async function removeEmpty(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (fault) {
    if (errnoOf(fault) === null) throw fault;
  }
}
