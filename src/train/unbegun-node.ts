// A run that does not begin leaves nothing: what was made of its folder is taken away again. Node only.
import { readdir, rm, rmdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { errnoOf } from "../base/errno.js";

export interface Unbegun {
  /** Removes what was made inside the folder; for whoever has locked it. */
  inside(): Promise<void>;
  /** Removes the folder, and those above it that were made for it; for after that. */
  folder(): Promise<void>;
}

/**
 * Looks at a run's folder before anything of it is made. Only what was not there is removed, and a folder only when
 * nothing of others is in it.
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

/** Null where there is no folder. */
async function namesIn(path: string): Promise<readonly string[] | null> {
  try {
    return await readdir(path);
  } catch (fault) {
    if (errnoOf(fault) === null) throw fault;
    return null;
  }
}

/** What is no empty folder stays, and what cannot be removed: why the run did not begin is what is told. */
async function removeEmpty(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (fault) {
    if (errnoOf(fault) === null) throw fault;
  }
}
