// Reads and writes files for the commands; errors are one sentence.
import { mkdirSync } from "node:fs";
import { fileKind } from "../../../ground/base/file-kinds.js";
import { errnoOf, reasonOf } from "../../../ground/base/errno.js";
import { lineAndColumn, type SourceFile } from "../../../language/diagnostics/span.js";
import { makeFolders, placeOf, whyUnwritten, writePieces, writeWhole } from "../../../ground/files/place-node.js";
import { readAny, readRegular } from "../../../ground/files/regular-node.js";
import { escapedName } from "../../../ground/base/shown.js";
import { EXIT, UserError } from "../terminal/exit.js";
import { io } from "../terminal/io.js";
import { expectKept } from "./outputs.js";

/** The system's reason for an error, in words; null for other errors. */
function refusalOf(cause: unknown): string | null {
  const code = errnoOf(cause);
  return code === null ? null : reasonOf(code);
}

/** Runs `body`, converting errors of the file system to UserErrors. */
function reaching<T>(what: "read" | "write", path: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    throw unreached(what, path, cause) ?? cause;
  }
}

/** An error of the file system as a UserError; null for any other. */
function unreached(what: "read" | "write", path: string, cause: unknown): UserError | null {
  const reason = what === "write" ? whyUnwritten(cause, path) : refusalOf(cause);
  return reason === null
    ? null
    : new UserError(`cannot ${what} ${escapedName(path)}: ${reason}`, null, EXIT.user, `cannot-${what}`);
}

/** Larger than any text a person wrote or a compiler generated. */
const MOST_BYTES = 512 * 1024 * 1024;

/** The path that stands for standard input. */
export const STDIN = "-";
/** The name of standard input in messages. */
export const STDIN_NAME = "<stdin>";
/** Whether what goes there is printed: nothing is named, or standard output, which `-` is here. */
export const isPrinted = (output: string | undefined): output is undefined | typeof STDIN =>
  output === undefined || output === STDIN;
const isStdin = (path: string): boolean => path === STDIN || path === STDIN_NAME;

export function readBytes(path: string): Uint8Array {
  if (isStdin(path)) return io().stdin();
  expectKept(path);
  return reaching("read", path, () => readAny(path, MOST_BYTES, (size) => tooLarge(path, size)));
}

const tooLarge = (path: string, size: number): UserError =>
  new UserError(`${path} has ${size} bytes, more than the limit of ${MOST_BYTES}`);

/** Text in UTF-8; a byte-order mark is dropped. */
export const readText = (path: string): string => textAt(path, readBytes(path));

/** The bytes of text in UTF-8, with its byte-order mark. */
export function readTextBytes(path: string): Uint8Array {
  const bytes = readBytes(path);
  textAt(path, bytes);
  return bytes;
}

function textAt(path: string, bytes: Uint8Array): string {
  const text = decoded(bytes);
  if (text !== null) return text;
  const { line, column, byte } = faultIn(bytes);
  const name = isStdin(path) ? STDIN_NAME : path;
  const kind = fileKind(bytes);
  throw new UserError(
    `${name}:${line}:${column}: this is not UTF-8 text: byte ${byte} does not begin a character`,
    kind && `it is ${kind}: give text`,
  );
}

/** The text; null if it is not UTF-8. */
function decoded(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** The first byte that is not UTF-8, with its line and column, both from 1; columns count UTF-16 code units. */
function faultIn(bytes: Uint8Array): { readonly byte: number; readonly line: number; readonly column: number } {
  const byte = firstInvalid(bytes);
  const before = new TextDecoder("utf-8").decode(bytes.subarray(0, byte));
  return { byte, ...lineAndColumn(before, before.length) };
}

/** The offset of the first byte that is not UTF-8. */
function firstInvalid(bytes: Uint8Array): number {
  // A lenient decoder replaces invalid bytes by U+FFFD; the text before the first one encodes to its original bytes.
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

/** The path of an argument that is a text or `@path`; `-` and `@-` are standard input. Null for a text. */
export const pathIn = (text: string): string | null =>
  text === STDIN ? STDIN : text.startsWith("@") ? text.slice(1) : null;

/** The old file stays until the new text is complete; for the path, see `placeOf`. */
export const writeText = (path: string, text: string | Uint8Array): void =>
  reaching("write", path, () => writeWhole(path, text));

/** The same in pieces, each of which `body` writes. */
export async function writeParts(
  path: string,
  body: (write: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<void> {
  try {
    await writePieces(path, body);
  } catch (cause) {
    throw unreached("write", path, cause) ?? cause;
  }
}

/** Throws where `path` cannot be written, so that the error comes before long work. Changes nothing. */
export const ensureWritable = (path: string): void => reaching("write", path, () => void placeOf(path));

/** Creates a folder and its parents. */
export const makeFolder = (path: string): void => reaching("write", path, () => makeFolders(path));

/** Creates a new folder that only this user can read. */
export const makePrivateFolder = (path: string): void =>
  reaching("write", path, () => mkdirSync(path, { mode: 0o700 }));

/**
 * Reads a `.mod` file. The imports of a source on standard input are relative to the working directory. Invalid UTF-8
 * becomes U+FFFD, which the compiler reports with its place.
 */
export const readSource = (path: string): SourceFile => ({
  file: path === STDIN ? STDIN_NAME : path,
  text: new TextDecoder("utf-8").decode(readBytes(path)),
});

/** Reads an imported file. Imports must be regular files, as reading a pipe would block. */
export function importedText(path: string): string | { readonly refused: string } {
  try {
    expectKept(path);
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
}
