// The documents of a text: whole files, or the texts of rows, as streams that are hashed while they are read.
import { isUtf8 } from "node:buffer";
import { fileKind, UTF16 } from "../../ground/base/file-kinds.js";
import { TrainError } from "./errors.js";
import { rowsOf, type DataRow } from "./rows-node.js";
import { fileBytes, type Hashing, type SourceFile } from "./sources-node.js";

/** One document, which must be read to its end before the next. */
export interface Document {
  /** The document's place, for messages. */
  readonly place: string;
  readonly pieces: AsyncIterable<Uint8Array>;
}

/**
 * The file's documents, as a stream; `hash` is updated with every byte. Throws TrainError if the file is missing, was
 * changed, or has invalid contents.
 */
export async function* documents(
  file: SourceFile,
  field: string,
  hash: Hashing,
  signal?: AbortSignal,
): AsyncIterable<Document> {
  const { kind } = file;
  if (kind === "text") yield { place: file.path, pieces: utf8Pieces(fileBytes(file, hash, signal), file.path) };
  else yield* rowDocuments({ ...file, kind }, field, hash, signal);
}

/** The texts of a file's rows. Throws TrainError with the place if a row lacks the field. */
async function* rowDocuments(
  file: SourceFile & { readonly kind: Exclude<SourceFile["kind"], "text"> },
  field: string,
  hash: Hashing,
  signal: AbortSignal | undefined,
): AsyncIterable<Document> {
  for await (const row of rowsOf(file, { hash, columns: new Set([field]), signal })) {
    const text = textIn(row, field, file.kind === "lines" ? "line" : "row");
    if (text !== "") yield { place: row.place, pieces: one(new TextEncoder().encode(text)) };
  }
}

async function* one(piece: Uint8Array): AsyncIterable<Uint8Array> {
  yield piece;
}

/** The text of a row. Throws TrainError. */
function textIn({ place, values, columns }: DataRow, field: string, word: string): string {
  // a row's own column
  const found: unknown = Object.hasOwn(values, field) ? values[field] : undefined;
  if (typeof found === "string") return found;
  const strings = Object.entries(values).flatMap(([name, v]) => (typeof v === "string" ? [name] : []));
  const others = strings.length > 0 ? strings : word === "line" ? [] : columns.filter((name) => name !== field);
  throw new TrainError("bad-data", `${place}: the ${word} has no text in ${JSON.stringify(field)}`, {
    hint: others.length > 0 ? `--field ${others[0]!}` : null,
  });
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
