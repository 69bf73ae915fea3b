// Atomic writes to disk: files and folders are synced, then renamed, so that a power cut leaves either the old or the
// new contents.
import { mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { TrainError } from "./errors.js";

const HINTS: ReadonlyMap<string, string> = new Map([
  ["ENOSPC", "free some space, or write elsewhere with --output; earlier files are intact"],
  ["EDQUOT", "free some space, or write elsewhere with --output; earlier files are intact"],
]);

/** Converts errors of the file system to TrainErrors about `path`. */
export async function writing<T>(path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    const code = errnoOf(cause);
    if (code === null) throw cause;
    throw new TrainError(
      "cannot-write",
      `cannot write ${path}: ${reasonOf(code, { ENOENT: "its folder is missing" })}`,
      {
        cause,
        hint: HINTS.get(code) ?? null,
      },
    );
  }
}

/**
 * Creates a folder and its parents, one at a time: for a recursive call on a read-only disk Node reports ENOENT instead
 * of the real error.
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    const above = dirname(path);
    if (above !== path) await makeFolder(above);
    await mkdir(path);
  }
}

/** The operations needed of an open file, declared without Node's types. */
export interface OpenedFile {
  write(bytes: Uint8Array, offset?: number, length?: number): Promise<{ readonly bytesWritten: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The file-system operations that writing needs; tests pass an implementation that fails. */
export interface Disk {
  open(path: string, flags: string): Promise<OpenedFile>;
  mkdir(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  remove(path: string): Promise<void>;
}

export const disk: Disk = {
  open: (path, flags) => open(path, flags),
  mkdir: (path) => mkdir(path),
  rename,
  remove: (path) => rm(path, { recursive: true, force: true }),
};

/** Creates a file, writes it in pieces and syncs it. */
export async function writeSynced(
  path: string,
  pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  on: Disk = disk,
): Promise<void> {
  const handle = await on.open(path, "wx");
  try {
    for await (const piece of pieces)
      for (let done = 0; done < piece.length;) done += (await handle.write(piece, done)).bytesWritten;
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Syncs a folder's entries. On Windows folders cannot be synced; the system writes them later. */
export async function syncFolder(path: string, on: Disk = disk): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await on.open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Creates or replaces a small file atomically. */
export async function replaceFile(path: string, text: string, on: Disk = disk): Promise<void> {
  const fresh = join(dirname(path), `.new-${basename(path)}`);
  await on.remove(fresh);
  await writeSynced(fresh, [new TextEncoder().encode(text)], on);
  await on.rename(fresh, path);
  await syncFolder(dirname(path), on);
}
