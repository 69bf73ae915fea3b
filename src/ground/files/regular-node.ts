// Reads regular files only: pipes, devices and folders are refused instead of waited for. Node only.
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { NOT_REGULAR } from "../base/errno.js";

/** Non-blocking, since opening a pipe without a writer would block. The opened file is then examined, not its name. */
const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0); // Windows has no such flag and no such pipes

/** An error in the file system's form, for files that the system itself would open. */
export const refusal = (code: string, path: string): Error =>
  Object.assign(new Error(`${code}: ${path} is not a regular file`), { code });

const irregular = (path: string, folder: boolean): Error => refusal(folder ? "EISDIR" : NOT_REGULAR, path);

/**
 * Opens a regular file for reading. Throws the file system's errors, and an error with code ENOTREGULAR (EISDIR for a
 * folder).
 */
export async function openRegular(path: string): Promise<FileHandle> {
  const handle = await open(path, FLAGS);
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw irregular(path, stats.isDirectory());
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Runs `body` on an open regular file and its size, and closes the file. Throws like `openRegular`. */
export function withRegular<T>(path: string, body: (fd: number, bytes: number) => T): T {
  const file = openSync(path, FLAGS);
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw irregular(path, stats.isDirectory());
    return body(file, stats.size);
  } finally {
    closeSync(file);
  }
}

/**
 * Reads a whole file of at most `most` bytes. For a larger file throws the error of `tooLarge`, called with the size or
 * the bytes read. Throws like `openRegular`.
 */
export const readRegular = (path: string, most: number, tooLarge: (bytes: number) => Error): Uint8Array =>
  readWhole(path, most, tooLarge, FLAGS);

/** `readRegular` for any file that can be read to its end, including pipes, whose writer it waits for. */
export const readAny = (path: string, most: number, tooLarge: (bytes: number) => Error): Uint8Array =>
  readWhole(path, most, tooLarge, constants.O_RDONLY);

const PIECE = 1 << 16;

/**
 * Collects what `read` returns until it returns nothing. `first`: initial size of the buffer. The limit matters: a
 * device may have no end, and a file may grow.
 */
export function readToEnd(
  read: (into: Uint8Array) => number,
  most: number,
  tooLarge: (bytes: number) => Error,
  first = 0,
): Uint8Array {
  const full: Uint8Array[] = [];
  let piece = new Uint8Array(Math.max(PIECE, first));
  let used = 0;
  let bytes = 0;
  for (let got = read(piece); got > 0; got = read(piece.subarray(used))) {
    used += got;
    if ((bytes += got) > most) throw tooLarge(bytes);
    if (used < piece.length) continue;
    full.push(piece);
    piece = new Uint8Array(PIECE);
    used = 0;
  }
  const last = piece.subarray(0, used);
  return full.length === 0 ? last : Buffer.concat([...full, last]);
}

function readWhole(path: string, most: number, tooLarge: (bytes: number) => Error, flags: number): Uint8Array {
  const file = openSync(path, flags);
  try {
    const stats = fstatSync(file);
    if (stats.isDirectory() || (flags === FLAGS && !stats.isFile())) throw irregular(path, stats.isDirectory());
    if (stats.size > most) throw tooLarge(stats.size);
    return readToEnd((into) => readSync(file, into), most, tooLarge, stats.size + 1);
  } finally {
    closeSync(file);
  }
}
