// Reading and writing files for the commands, with one sentence for whatever goes wrong.
import { randomBytes } from "node:crypto";
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
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
import { dirname, isAbsolute, sep } from "node:path";
import { reasonOf } from "../base/errno.js";
import { ModcError } from "../base/errors.js";
import type { Read } from "../check/names/files.js";
import { lineAndColumn, type SourceFile } from "../diagnostics/span.js";
import { leftover } from "../runtime/leftovers-node.js";
import { readAny, readRegular } from "../runtime/regular-node.js";
import { importsBeside } from "../session/imports-node.js";
import { EXIT, UserError } from "./exit.js";
import { io } from "./io.js";

/** Why the system refused; null where it did not. */
function refusalOf(cause: unknown, own: Readonly<Record<string, string>> = {}): string | null {
  const { code } = cause as NodeJS.ErrnoException; // as the system's errors have it
  return code === undefined || cause instanceof ModcError ? null : reasonOf(code, own);
}

/** Runs `body`, turning what the file system refuses into a UserError. */
function reaching<T>(what: "read" | "write", path: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    const reason = refusalOf(cause, what === "write" ? { ENOENT: `there is no folder ${dirname(path)}` } : {});
    if (reason === null) throw cause;
    throw new UserError(`cannot ${what} ${path}: ${reason}`, null, EXIT.user, `cannot-${what}`);
  }
}

/** Beyond any text a person wrote or a compiler made. */
const MOST_BYTES = 512 * 1024 * 1024;

/** In place of a path: what is on standard input. */
export const STDIN = "-";
/** What its text is called in messages. */
export const STDIN_NAME = "<stdin>";
const isStdin = (path: string): boolean => path === STDIN || path === STDIN_NAME;

export function readBytes(path: string): Uint8Array {
  if (isStdin(path)) return io().stdin();
  return reaching("read", path, () => {
    return readAny(path, MOST_BYTES, (size) => tooLarge(path, size));
  });
}

const tooLarge = (path: string, size: number): UserError =>
  new UserError(`${path} has ${size} bytes, modc reads up to ${MOST_BYTES}`);

/** Text in UTF-8; a byte-order mark is dropped. */
export function readText(path: string): string {
  const bytes = readBytes(path);
  const text = decoded(bytes);
  if (text !== null) return text;
  const { line, column, byte } = faultIn(bytes);
  const name = isStdin(path) ? STDIN_NAME : path;
  throw new UserError(`${name}:${line}:${column}: this is not UTF-8 text: byte ${byte} begins no character`);
}

/** Null for what is no UTF-8. */
function decoded(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** Of the first byte that is no UTF-8: line and column, both from 1; columns count UTF-16 code units. */
function faultIn(bytes: Uint8Array): { readonly byte: number; readonly line: number; readonly column: number } {
  const byte = firstInvalid(bytes);
  const before = new TextDecoder("utf-8").decode(bytes.subarray(0, byte));
  return { byte, ...lineAndColumn(before, before.length) };
}

/** The offset of the first byte that is no UTF-8. */
function firstInvalid(bytes: Uint8Array): number {
  // What a lenient decoder replaces, it replaces by U+FFFD; everything before it encodes to as many bytes as it had.
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  let at = 0;
  for (const character of text) {
    const length = Buffer.byteLength(character);
    const same = Buffer.from(character).equals(Buffer.from(bytes.subarray(at, at + length)));
    if (!same) return at;
    at += length;
  }
  return at;
}

/** The path in what is a text or `@path`; `-` is standard input in both. Null for a text. */
export const pathIn = (text: string): string | null =>
  text === STDIN ? STDIN : text.startsWith("@") ? text.slice(1) : null;

/** Where what is written to a path goes. */
interface Place {
  /** The file itself, wherever links lead to it. */
  readonly path: string;
  readonly folder: string;
  /** What is there now. */
  readonly before: Stats | null;
  /**
   * Whether it is written as it is: a pipe or a device, or a file that has other names, which would keep the old text.
   */
  readonly asItIs: boolean;
}

/** Where a link leads that leads to nothing yet. */
function endOfLinks(path: string): string {
  if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return path;
  const target = readlinkSync(path);
  // not shortened: `..` behind a link leads elsewhere than its text says
  return endOfLinks(isAbsolute(target) ? target : `${realpathSync(dirname(path))}${sep}${target}`);
}

/** Changes nothing. Throws where nothing could be put there. */
function placeOf(path: string): Place {
  const before = statSync(path, { throwIfNoEntry: false }) ?? null;
  const place = before === null ? endOfLinks(path) : before.isFile() ? realpathSync(path) : path;
  const folder = dirname(place);
  const fail = (why: string): never => {
    throw new UserError(`cannot write ${path}: ${why}`, null, EXIT.user, "cannot-write");
  };
  if (before?.isDirectory()) fail(reasonOf("EISDIR"));
  const above = statSync(folder, { throwIfNoEntry: false }) ?? fail(`there is no folder ${folder}`);
  if (!above.isDirectory()) fail(reasonOf("ENOTDIR"));
  const asItIs = before !== null && (!before.isFile() || before.nlink > 1);
  if (before) accessSync(place, constants.W_OK);
  if (!asItIs) accessSync(folder, constants.W_OK);
  return { path: place, folder, before, asItIs };
}

/**
 * Writes beside the place first, and renames, so that what was there stays whole where this does not come to its end.
 * The file keeps its mode, its owner and its group; where it cannot, and where it is one of several names or no file,
 * such as a pipe, it is written as it is.
 */
export const writeText = (path: string, text: string | Uint8Array): void =>
  reaching("write", path, () => {
    const place = placeOf(path);
    if (place.asItIs) return writeFileSync(place.path, text);
    const fresh = `${place.path}.${randomBytes(6).toString("hex")}.tmp`;
    const gone = leftover(fresh);
    try {
      writeFileSync(fresh, text, { flag: "wx", mode: place.before ? place.before.mode & 0o777 : 0o666 });
      if (place.before && !keeps(fresh, place.before)) {
        writeFileSync(place.path, text);
        rmSync(fresh);
      } else renameSync(fresh, place.path);
    } catch (fault) {
      rmSync(fresh, { force: true });
      throw fault;
    } finally {
      gone();
    }
  });

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

/**
 * Throws where a file could not be put at `path`, so that it is told before minutes of work and not after them. Changes
 * nothing.
 */
export const ensureWritable = (path: string): void => reaching("write", path, () => void placeOf(path));

/** Makes a folder and those above it, where they are missing. */
export const makeFolder = (path: string): void =>
  reaching("write", path, () => void mkdirSync(path, { recursive: true }));

/** Makes a new folder that nobody else can look into. */
export const makePrivateFolder = (path: string): void =>
  reaching("write", path, () => mkdirSync(path, { mode: 0o700 }));

/**
 * A `.mod` file under the name it was given by; what it imports from standard input is looked for in the working
 * directory. What is no UTF-8 comes as U+FFFD, which the compiler refuses in its place.
 */
export const readSource = (path: string): SourceFile => ({
  file: path === STDIN ? STDIN_NAME : path,
  text: new TextDecoder("utf-8").decode(readBytes(path)),
});

/**
 * Reads files that a root file imports, of its own folder only. Why one cannot be read is told where it is imported. It
 * must be a regular file, for a pipe would be waited for.
 */
export const importReader = (root: string): Read =>
  importsBeside(root, (path) => {
    try {
      const bytes = readRegular(path, MOST_BYTES, (size) => tooLarge("it", size));
      const text = decoded(bytes);
      if (text !== null) return text;
      const { line, column, byte } = faultIn(bytes);
      return { refused: `byte ${byte}, at its line ${line}, column ${column}, is not UTF-8` };
    } catch (cause) {
      const refused = cause instanceof UserError ? cause.message : refusalOf(cause);
      if (refused === null) throw cause;
      return { refused };
    }
  });
