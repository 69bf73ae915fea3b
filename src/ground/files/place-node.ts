// Finds the destination of a write to a path, and writes it atomically. Node only.
import { randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  type Stats,
} from "node:fs";
import { open } from "node:fs/promises";
import { basename, dirname, isAbsolute, resolve, sep } from "node:path";
import { errnoOf, reasonOf } from "../base/errno.js";
import { leftover } from "./leftovers-node.js";
import { refusal } from "./regular-node.js";

export interface Place {
  /** The path of the file itself, after following links. */
  readonly path: string;
  /** The present file; null if there is none. */
  readonly before: Stats | null;
  /**
   * Whether the file must be written in place: a pipe, a device, or a file with other hard links, which would keep the
   * old text.
   */
  readonly asItIs: boolean;
}

/** The target of links, whether it exists or not. */
function endOfLinks(path: string): string {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return path;
  const target = readlinkSync(path);
  // not normalized: after a link, `..` leads elsewhere than its text suggests
  return endOfLinks(isAbsolute(target) ? target : `${realpathSync(dirname(path))}${sep}${target}`);
}

/**
 * Finds the destination of a write, without changing anything. Throws the file system's error if nothing could be
 * written there.
 */
export function placeOf(path: string): Place {
  const before = statSync(path, { throwIfNoEntry: false }) ?? null;
  const target = before === null ? endOfLinks(path) : before.isFile() ? realpathSync(path) : path;
  if (before?.isDirectory()) throw refusal("EISDIR", path);
  const folder = dirname(target);
  if (!statSync(folder).isDirectory()) throw refusal("ENOTDIR", folder);
  const asItIs = before !== null && (!before.isFile() || before.nlink > 1);
  if (before) accessSync(target, constants.W_OK);
  if (!asItIs) accessSync(folder, constants.W_OK);
  return { path: target, before, asItIs };
}

/** Endings of files that hold models, weights or texts. */
const OF_FILES = /\.(?:gguf|safetensors|bin|pth?|onnx|mod|json|html?|zip|tgz)$/i;

/** If the path of a new folder looks like a file name: the name without its extension. Else null. */
export function asFileName(path: string): string | null {
  const name = path.replace(OF_FILES, "");
  return name !== path && basename(name) !== "" && !existsSync(path) ? name : null;
}

/**
 * Creates a folder and its parents, one at a time: in /proc, which refuses new folders, Node's recursive call never
 * returns.
 */
export function makeFolders(path: string): void {
  const missing: string[] = [];
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.unshift(at);
  for (const at of missing) mkdirSync(at);
  if (missing.length === 0) mkdirSync(path, { recursive: true }); // refuses a path that is not a folder
}

/** The reason why nothing could be written to `path`, in words; null if the error is not from the file system. */
export function whyUnwritten(cause: unknown, path: string): string | null {
  const code = errnoOf(cause);
  if (code === null) return null;
  return reasonOf(code, code === "ENOENT" ? { ENOENT: `there is no folder ${dirname(endOfLinks(path))}` } : {});
}

/**
 * Writes a temporary file next to the destination, then renames it, so that the old file stays whole if writing fails.
 * The new file keeps the old one's mode, owner and group. Writes in place if these cannot be kept, if the file has
 * other hard links, or if it is not a file, such as a pipe. Throws the file system's errors.
 */
export function writeWhole(path: string, bytes: string | Uint8Array): void {
  const target = placeOf(path);
  if (target.asItIs) return writeFileSync(target.path, bytes);
  const fresh = freshAt(target);
  const gone = leftover(fresh);
  try {
    writeFileSync(fresh, bytes, { flag: "wx", mode: modeOf(target) });
    putAt(target, fresh);
  } catch (fault) {
    rmSync(fresh, { force: true });
    throw fault;
  } finally {
    gone();
  }
}

/** `writeWhole` for contents written in pieces. A file is synced before it is renamed. */
export async function writePieces(
  path: string,
  body: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const target = placeOf(path);
  const into = async (file: string, flags: string): Promise<void> => {
    const handle = await open(file, flags, modeOf(target));
    try {
      await body(async (bytes) => {
        let done = 0;
        while (done < bytes.length)
          done += (await handle.write(bytes, done, Math.min(bytes.length - done, 1 << 30))).bytesWritten;
      });
      if ((await handle.stat()).isFile()) await handle.sync(); // pipes and devices cannot be synced
    } finally {
      await handle.close();
    }
  };
  if (target.asItIs) return into(target.path, "w");
  const fresh = freshAt(target);
  const gone = leftover(fresh);
  try {
    await into(fresh, "wx");
    putAt(target, fresh);
  } catch (fault) {
    rmSync(fresh, { force: true });
    throw fault;
  } finally {
    gone();
  }
}

const freshAt = ({ path }: Place): string => `${path}.${randomBytes(6).toString("hex")}.tmp`;
const modeOf = ({ before }: Place): number => (before ? before.mode & 0o777 : 0o666);

/** Moves a temporary file to its destination. */
function putAt({ path, before }: Place, fresh: string): void {
  if (before && !keeps(fresh, before)) {
    copyFileSync(fresh, path);
    rmSync(fresh);
  } else renameSync(fresh, path);
}

/** Gives a new file the owner, group and mode of the old file; false if the process may not. */
function keeps(fresh: string, { uid, gid, mode }: Stats): boolean {
  const stats = statSync(fresh);
  try {
    if (stats.uid !== uid || stats.gid !== gid) chownSync(fresh, uid, gid);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== "EPERM") throw fault;
    return false;
  }
  chmodSync(fresh, mode & 0o7777); // the process's umask has removed bits of the mode
  return true;
}
