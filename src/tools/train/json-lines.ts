// Reads JSONL: one document a line, with the text in a named field.
import { fileKind } from "../../ground/base/file-kinds.js";
import { TrainError } from "./errors.js";

/** The longest line allowed. */
const MOST_LINE_BYTES = 64 * 1024 * 1024;
const NEWLINE = 10;

/**
 * The texts of a file's lines, without blank lines. Throws TrainError with the line number if a line is not UTF-8, not
 * JSON, or lacks the field.
 */
export async function* lineDocuments(
  bytes: AsyncIterable<Uint8Array>,
  path: string,
  field: string,
): AsyncIterable<{ readonly place: string; readonly pieces: AsyncIterable<Uint8Array> }> {
  let number = 0;
  for await (const line of lines(bytes, path)) {
    number++;
    const place = `${path}:${number}`;
    const text = textOf(line, place, field, number === 1);
    if (text !== null && text !== "") yield { place, pieces: one(new TextEncoder().encode(text)) };
  }
}

async function* one(piece: Uint8Array): AsyncIterable<Uint8Array> {
  yield piece;
}

/** The text of a line; null for a blank line. */
function textOf(line: Uint8Array, place: string, field: string, first: boolean): string | null {
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
  // an object's own field
  const found: unknown = Object.hasOwn(value, field) ? (value as Readonly<Record<string, unknown>>)[field] : undefined;
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
      yield join([...parts, piece.subarray(from, end)]);
      [parts, length, from] = [[], 0, end + 1];
    }
    if (from === piece.length) continue;
    parts.push(piece.slice(from));
    length += piece.length - from;
    if (length > MOST_LINE_BYTES)
      throw new TrainError("bad-data", `${path} has a line of more than ${MOST_LINE_BYTES} bytes`);
  }
  if (parts.length > 0) yield join(parts);
}

function join(parts: readonly Uint8Array[]): Uint8Array {
  if (parts.length === 1) return parts[0]!;
  const out = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
