// Finds and reads training text: a file, a folder, JSONL, or an installed package, as a stream that is hashed while it
// is read.
import { createHash, type Hash } from "node:crypto";
import { createReadStream, existsSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { TrainError } from "./errors.js";
import { fileKind, UTF16 } from "../../ground/base/file-kinds.js";
import { isUtf8 } from "node:buffer";

/** A file, with its size and time when it was found. */
export interface SourceFile {
  readonly path: string;
  readonly kind: "text" | "lines";
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
}

/** One document, which must be read to its end before the next. */
export interface Document {
  /** The document's place, for messages. */
  readonly place: string;
  readonly pieces: AsyncIterable<Uint8Array>;
}

/** Extensions of the files that a folder is searched for. */
const TEXT = [".txt", ".text", ".md"] as const;
const LINES = [".jsonl", ".ndjson"] as const;
const PACKAGE = /^(@[a-z0-9~-][a-z0-9._~-]*\/)?[a-z0-9~-][a-z0-9._~-]*(\/.+)?$/;

/**
 * The files that `data` names. A file: itself. A folder: its .txt, .text, .md, .jsonl and .ndjson files and those of
 * its subfolders, sorted by path, without hidden and empty files. An installed package: its data/data.txt, else the
 * files of its folder `data`; or, with `name/path`, any other file or folder of the package. Throws TrainError.
 */
export async function findSources(data: string, from = process.cwd()): Promise<readonly SourceFile[]> {
  const path = placeOf(data, from);
  const stats = await reaching(path, () => stat(path));
  if (!stats.isDirectory()) {
    if (!stats.isFile()) throw new TrainError("bad-data", `${data} is neither a file nor a folder`);
    if (stats.size === 0) throw new TrainError("bad-data", `${data} is empty`);
    return [{ path, kind: isLines(path) ? "lines" : "text", bytes: stats.size, modified: stats.mtimeMs }];
  }
  const files = (await filesUnder(path)).filter((file) => file.bytes > 0);
  if (files.length === 0)
    throw new TrainError(
      "bad-data",
      `${data} holds no text: no ${[...TEXT, ...LINES].join(", ")} file that is not empty`,
    );
  return files;
}

/** A name that does not depend on the working directory: the absolute path, or the package's name. */
export function lastingName(data: string, from = process.cwd()): string {
  const path = resolve(from, data);
  return existsSync(path) ? path : data;
}

/** The path itself if it exists, else the path of a package installed in `from` or a parent folder. */
function placeOf(data: string, from: string): string {
  const path = resolve(from, data);
  if (existsSync(path)) return path;
  const match = PACKAGE.exec(data);
  const onHub = /^[\w-][\w.-]*\/([\w-][\w.-]*)$/.exec(data)?.[1];
  const none = new TrainError("bad-data", `cannot read ${data}: there is no such file, folder or installed package`, {
    hint:
      onHub === undefined
        ? null
        : `download a Hugging Face dataset first: hf download ${data} --repo-type dataset --local-dir ${onHub}`,
  });
  if (!match || data.split("/").includes("..")) throw none;
  const [name, rest] = [data.slice(0, data.length - (match[2] ?? "").length), (match[2] ?? "").slice(1)];
  for (let folder = from; ; folder = dirname(folder)) {
    const packageFolder = join(folder, "node_modules", name);
    if (existsSync(packageFolder)) {
      const candidates =
        rest === ""
          ? [join(packageFolder, "data", "data.txt"), join(packageFolder, "data")]
          : [join(packageFolder, rest)];
      const place = candidates.find((p) => existsSync(p));
      if (place !== undefined) return place;
      throw new TrainError("bad-data", `the package ${name} has no ${rest === "" ? "folder `data`" : rest}`, {
        hint: rest === "" ? `give a file or folder inside it: ${name}/…` : null,
      });
    }
    if (dirname(folder) === folder) throw none;
  }
}

async function filesUnder(folder: string): Promise<readonly SourceFile[]> {
  const entries = await reaching(folder, () => readdir(folder, { recursive: true, withFileTypes: true }));
  const names = entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(
      (path) =>
        !relative(folder, path)
          .split(sep)
          .some((part) => part.startsWith(".")) &&
        (isLines(path) || TEXT.some((end) => path.endsWith(end))),
    )
    .sort();
  const files: SourceFile[] = [];
  for (const path of names) {
    const stats = await reaching(path, () => stat(path)); // follows links
    if (stats.isFile())
      files.push({ path, kind: isLines(path) ? "lines" : "text", bytes: stats.size, modified: stats.mtimeMs });
  }
  return files;
}

const isLines = (path: string): boolean => LINES.some((end) => path.endsWith(end));

/**
 * The file's documents, as a stream; `hash` is updated with every byte. Throws TrainError if the file is missing, was
 * changed, or has invalid contents.
 */
export async function* documents(
  file: SourceFile,
  field: string,
  hash: Hash,
  signal?: AbortSignal,
): AsyncIterable<Document> {
  const bytes = fileBytes(file, hash, signal);
  if (file.kind === "text") yield { place: file.path, pieces: utf8Pieces(bytes, file.path) };
  else yield* lineDocuments(bytes, file.path, field);
}

/** An object of a JSONL file, and its place, for messages. */
export interface LineObject {
  readonly place: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** The objects of a file's lines, without blank lines. Throws TrainError as `documents` does. */
export const fileObjects = (file: SourceFile, signal?: AbortSignal): AsyncIterable<LineObject> =>
  lineObjects(fileBytes(file, null, signal), file.path);

/** The same for bytes of any origin; `path` names them in messages. */
export async function* lineObjects(bytes: AsyncIterable<Uint8Array>, path: string): AsyncIterable<LineObject> {
  let number = 0;
  for await (const line of lines(bytes, path)) {
    number++;
    const place = `${path}:${number}`;
    const value = objectOf(line, place, number === 1);
    if (value !== null) yield { place, value };
  }
}

/** A digest of the file's content. */
export async function digestOf(file: SourceFile, signal?: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const _ of fileBytes(file, hash, signal)); // only the hash is needed
  return hash.digest("hex");
}

/** Reads a file in pieces. Throws the signal's reason between two pieces. */
async function* fileBytes(
  file: SourceFile,
  hash: Hash | null,
  signal: AbortSignal | undefined,
): AsyncIterable<Uint8Array> {
  const stream = createReadStream(file.path, { highWaterMark: 1 << 18 });
  try {
    for await (const chunk of stream) {
      if (signal?.aborted) break;
      const bytes = chunk as Buffer; // a stream without an encoding yields buffers
      hash?.update(bytes);
      yield bytes;
    }
  } catch (cause) {
    throw unreadable(file.path, cause);
  } finally {
    stream.destroy();
  }
  signal?.throwIfAborted();
}

/** How the files have changed since they were read, as a sentence; null: they are unchanged. */
export async function changeOf(files: readonly SourceFile[]): Promise<string | null> {
  for (const { path, bytes, modified } of files) {
    try {
      const now = await stat(path);
      if (now.size !== bytes || now.mtimeMs !== modified) return `${path} has changed`;
    } catch (cause) {
      return unreadable(path, cause).message;
    }
  }
  return null;
}

/** Converts an error of the file system to a TrainError; other errors are returned unchanged. */
function unreadable(path: string, cause: unknown): Error {
  const code = errnoOf(cause);
  if (code === null) return cause as Error; // unchanged
  return new TrainError("bad-data", `cannot read ${path}: ${reasonOf(code, { ENOENT: "the file is missing" })}`, {
    cause,
  });
}

async function reaching<T>(path: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

/** The longest line allowed. */
const MOST_LINE_BYTES = 64 * 1024 * 1024;
const NEWLINE = 10;

/**
 * The texts of a file's lines, without blank lines. Throws TrainError with the line number if a line is not UTF-8, not
 * JSON, or lacks the field.
 */
async function* lineDocuments(
  bytes: AsyncIterable<Uint8Array>,
  path: string,
  field: string,
): AsyncIterable<{ readonly place: string; readonly pieces: AsyncIterable<Uint8Array> }> {
  for await (const { place, value } of lineObjects(bytes, path)) {
    const text = textOf(value, place, field);
    if (text !== "") yield { place, pieces: one(new TextEncoder().encode(text)) };
  }
}

async function* one(piece: Uint8Array): AsyncIterable<Uint8Array> {
  yield piece;
}

/** The object of a line; null for a blank line. */
function objectOf(line: Uint8Array, place: string, first: boolean): Readonly<Record<string, unknown>> | null {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: !first }).decode(line);
  } catch (cause) {
    const kind = first ? fileKind(line) : null;
    throw new TrainError("bad-data", `${place}: the line is not UTF-8${kind === null ? "" : `, the file is ${kind}`}`, {
      cause,
    });
  }
  if (text.trim() === "") return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TrainError(
      "bad-data",
      `${place}: the line is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new TrainError("bad-data", `${place}: the line is not a JSON object`);
  return value as Readonly<Record<string, unknown>>; // checked just above
}

/** The text of an object's field. */
function textOf(value: Readonly<Record<string, unknown>>, place: string, field: string): string {
  const found: unknown = Object.hasOwn(value, field) ? value[field] : undefined; // an object's own field
  if (typeof found === "string") return found;
  const strings = Object.entries(value).flatMap(([name, v]) => (typeof v === "string" ? [name] : []));
  throw new TrainError("bad-data", `${place}: the line has no text in ${JSON.stringify(field)}`, {
    hint: strings.length > 0 ? `--field ${strings[0]!}` : null,
  });
}

/** Splits a stream of bytes into lines, without their ends. */
async function* lines(bytes: AsyncIterable<Uint8Array>, path: string): AsyncIterable<Uint8Array> {
  let parts: Uint8Array[] = [];
  let length = 0;
  for await (const piece of bytes) {
    let from = 0;
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, from)) {
      yield Buffer.concat([...parts, piece.subarray(from, end)]);
      [parts, length, from] = [[], 0, end + 1];
    }
    if (from === piece.length) continue;
    parts.push(piece.slice(from));
    length += piece.length - from;
    if (length > MOST_LINE_BYTES)
      throw new TrainError("bad-data", `${path} has a line of more than ${MOST_LINE_BYTES} bytes`);
  }
  if (parts.length > 0) yield Buffer.concat(parts);
}

/**
 * Passes the pieces of a file on and checks them. Throws TrainError for the first byte that starts no character; the
 * message names the kind of the file if its first bytes reveal it.
 */
async function* utf8Pieces(pieces: AsyncIterable<Uint8Array>, place: string): AsyncIterable<Uint8Array> {
  let before: Uint8Array = new Uint8Array(0); // an incomplete character at the end of the last piece
  let at = 0;
  let kind: string | null = null;
  for await (const piece of pieces) {
    if (at === 0 && before.length === 0) kind = fileKind(piece);
    if (kind === UTF16 && piece.includes(0)) throw noText(place, kind, `byte ${at + piece.indexOf(0)} is NUL`);
    const bytes = before.length === 0 ? piece : Buffer.concat([before, piece]);
    const complete = bytes.length - openAtEnd(bytes);
    if (!isUtf8(bytes.subarray(0, complete)))
      throw noText(place, kind, `byte ${at + firstInvalid(bytes)} does not begin a character`);
    before = bytes.slice(complete);
    at += complete;
    yield piece;
  }
  if (before.length > 0) throw noText(place, kind, `byte ${at} does not begin a character`);
}

const noText = (place: string, kind: string | null, fault: string): TrainError =>
  new TrainError("bad-data", `${place} is not UTF-8 text${kind === null ? "" : `, it is ${kind}`}: ${fault}`, {
    hint:
      kind === UTF16 || kind === null
        ? "convert it to UTF-8"
        : "give text: a .txt file, or JSONL with the text of each document in a field",
  });

/** The number of bytes at the end that start a character without completing it. */
function openAtEnd(bytes: Uint8Array): number {
  for (let n = 1; n <= Math.min(3, bytes.length); n++) {
    const byte = bytes[bytes.length - n]!;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return n < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? n : 0;
  }
  return 0;
}

/** The index of the first byte that starts no character. */
function firstInvalid(bytes: Uint8Array): number {
  let [from, to] = [0, bytes.length];
  // Finds by bisection the longest prefix that is valid UTF-8, apart from an incomplete character at its end.
  while (from < to) {
    const middle = (from + to + 1) >> 1;
    const some = bytes.subarray(0, middle);
    if (isUtf8(some.subarray(0, middle - openAtEnd(some)))) from = middle;
    else to = middle - 1;
  }
  const begun = bytes.subarray(0, from);
  return from - openAtEnd(begun);
}
