// Writes a package to disk atomically: to a new folder beside its destination, which is then renamed.
import { errnoOf, reasonOf } from "../base/errno.js";
import { ModcError, type FaultOptions } from "../base/errors.js";
import { randomBytes } from "node:crypto";
import { renameSync } from "node:fs";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { MANIFEST, MANIFEST_FORMAT } from "../packaged/manifest.js";
import { leftover } from "../runtime/node.js";
import type { WriteFile } from "./package.js";

/** The folder cannot be written, or holds files that are not a build. */
export class FolderError extends ModcError<"cannot-write"> {
  override readonly name = "FolderError";

  constructor(message: string, options: FaultOptions = {}) {
    super("cannot-write", message, options);
  }
}

/**
 * Calls `body` with a function that writes files, and puts them at `path` when it is done. If `body` throws, `path`
 * stays as it was.
 */
export async function writeFolder<T>(path: string, body: (write: WriteFile) => Promise<T>): Promise<T> {
  const place = resolve(path);
  await expectReplaceable(path, place);
  const fresh = join(dirname(place), `.${basename(place)}-${randomBytes(6).toString("hex")}`);
  const old = `${fresh}-old`;
  const temporary = [leftover(fresh), leftover(old)];
  try {
    await mapErrno(path, () => mkdir(fresh, { recursive: true }));
    const made = await body((name, bytes) =>
      mapErrno(path, async () => {
        await mkdir(dirname(join(fresh, name)), { recursive: true });
        await writeFile(join(fresh, name), bytes);
      }),
    );
    await mapErrno(path, async () => {
      const replaces = await exists(place);
      // Both renames are synchronous: an interrupt between them would leave no build there.
      if (replaces) renameSync(place, old);
      try {
        renameSync(fresh, place);
      } catch (error) {
        if (replaces) renameSync(old, place);
        throw error;
      }
    });
    return made;
  } finally {
    await rm(fresh, { recursive: true, force: true });
    await rm(old, { recursive: true, force: true });
    for (const gone of temporary) gone();
  }
}

/** Throws unless `path` is free, an empty folder or an earlier build. */
async function expectReplaceable(path: string, place: string): Promise<void> {
  let names: readonly string[];
  try {
    names = await readdir(place);
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === "ENOENT") return;
    if (code === null) throw cause;
    throw new FolderError(`cannot write ${path}: ${reasonOf(code, { ENOTDIR: "it is a file" })}`, { cause });
  }
  if (names.length === 0 || (names.includes(MANIFEST) && (await isManifest(join(place, MANIFEST))))) return;
  throw new FolderError(`${path} holds files that are no build of modc`, {
    hint: "name an empty folder, or one that does not exist",
  });
}

async function isManifest(path: string): Promise<boolean> {
  return (await readFile(path, "utf8")).includes(JSON.stringify(MANIFEST_FORMAT));
}

async function exists(path: string): Promise<boolean> {
  try {
    await readdir(path);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw cause;
  }
}

async function mapErrno<T>(path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === null) throw cause;
    const hint = code === "ENOSPC" ? "free some space, or write elsewhere with --output" : null;
    throw new FolderError(`cannot write ${path}: ${reasonOf(code, { ENOENT: "its folder is gone" })}`, { hint, cause });
  }
}
