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
  /** The file itself, wherever links lead to it. */
  readonly path: string;
  /** What is there now. */
  readonly before: Stats | null;
  /**
   * Whether it must be written in place: a pipe or a device, or a file with other hard links, which would keep the old
   * text.
   */
  readonly asItIs: boolean;
}

/** Where links lead, be there something or not. */
function endOfLinks(path: string): string {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return path;
  const target = readlinkSync(path);
  // not shortened: `..` behind a link leads elsewhere than its text says
  return endOfLinks(isAbsolute(target) ? target : `${realpathSync(dirname(path))}${sep}${target}`);
}

/** Changes nothing. Throws what the file system throws where nothing could be put there. */
export function placeOf(path: string): Place {
  const before = statSync(path, { throwIfNoEntry: false }) ?? null;
  const place = before === null ? endOfLinks(path) : before.isFile() ? realpathSync(path) : path;
  if (before?.isDirectory()) throw refusal("EISDIR", path);
  const folder = dirname(place);
  if (!statSync(folder).isDirectory()) throw refusal("ENOTDIR", folder);
  const asItIs = before !== null && (!before.isFile() || before.nlink > 1);
  if (before) accessSync(place, constants.W_OK);
  if (!asItIs) accessSync(folder, constants.W_OK);
  return { path: place, before, asItIs };
}

/** Endings of files that hold models, weights or texts. */
const OF_FILES = /\.(?:gguf|safetensors|bin|pth?|onnx|mod|json|html?|zip|tgz)$/i;

/** If a path that is to be a new folder names a file: the name without its ending. Else null. */
export function asFileName(path: string): string | null {
  const name = path.replace(OF_FILES, "");
  return name !== path && basename(name) !== "" && !existsSync(path) ? name : null;
}

/** Creates a folder and its parents, one by one: in /proc, which refuses them, Node's recursive call never ends. */
export function makeFolders(path: string): void {
  const missing: string[] = [];
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.unshift(at);
  for (const at of missing) mkdirSync(at);
  if (missing.length === 0) mkdirSync(path, { recursive: true }); // refuses a path that is not a folder
}

/** Why nothing could be written to `path`, in words; null for what no file system has thrown. */
export function whyUnwritten(cause: unknown, path: string): string | null {
  const code = errnoOf(cause);
  if (code === null) return null;
  return reasonOf(code, code === "ENOENT" ? { ENOENT: `there is no folder ${dirname(endOfLinks(path))}` } : {});
}

/**
 * Writes beside the place first, and renames, so that what was there stays whole where this does not come to its end.
 * The file keeps its mode, its owner and its group; where it cannot, and where it is one of several names or no file,
 * such as a pipe, it is written as it is. Throws what the file system throws.
 */
export function writeWhole(path: string, bytes: string | Uint8Array): void {
  const place = placeOf(path);
  if (place.asItIs) return writeFileSync(place.path, bytes);
  const fresh = freshAt(place);
  const gone = leftover(fresh);
  try {
    writeFileSync(fresh, bytes, { flag: "wx", mode: modeOf(place) });
    putAt(place, fresh);
  } catch (fault) {
    rmSync(fresh, { force: true });
    throw fault;
  } finally {
    gone();
  }
}

/** The same for contents written in pieces; a file is synced before it is renamed. */
export async function writePieces(
  path: string,
  body: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  const place = placeOf(path);
  const into = async (file: string, flags: string): Promise<void> => {
    const handle = await open(file, flags, modeOf(place));
    try {
      await body(async (bytes) => {
        let done = 0;
        while (done < bytes.length)
          done += (await handle.write(bytes, done, Math.min(bytes.length - done, 1 << 30))).bytesWritten;
      });
      if ((await handle.stat()).isFile()) await handle.sync(); // pipes and devices have nothing to be synced
    } finally {
      await handle.close();
    }
  };
  if (place.asItIs) return into(place.path, "w");
  const fresh = freshAt(place);
  const gone = leftover(fresh);
  try {
    await into(fresh, "wx");
    putAt(place, fresh);
  } catch (fault) {
    rmSync(fresh, { force: true });
    throw fault;
  } finally {
    gone();
  }
}

const freshAt = ({ path }: Place): string => `${path}.${randomBytes(6).toString("hex")}.tmp`;
const modeOf = ({ before }: Place): number => (before ? before.mode & 0o777 : 0o666);

/** Puts a file that is written beside its place there. */
function putAt({ path, before }: Place, fresh: string): void {
  if (before && !keeps(fresh, before)) {
    copyFileSync(fresh, path);
    rmSync(fresh);
  } else renameSync(fresh, path);
}

/** Gives a new file the owner, the group and the mode of one before, or says that it may not. */
function keeps(fresh: string, { uid, gid, mode }: Stats): boolean {
  const made = statSync(fresh);
  try {
    if (made.uid !== uid || made.gid !== gid) chownSync(fresh, uid, gid);
  } catch (fault) {
    if ((fault as NodeJS.ErrnoException).code !== "EPERM") throw fault;
    return false;
  }
  chmodSync(fresh, mode & 0o7777); // what it was made with lacks what the process's mask takes
  return true;
}
