// Refuses data that is no UTF-8 text while it is read, by its name and the first byte at fault.
import { isUtf8 } from "node:buffer";
import { fileKind, UTF16 } from "../../ground/base/file-kinds.js";
import { TrainError } from "./errors.js";

/**
 * The pieces of a file, looked at as they pass. Throws TrainError for the first byte that begins no character; the
 * message names the kind of the file, if its beginning shows one.
 */
export async function* utf8Pieces(pieces: AsyncIterable<Uint8Array>, place: string): AsyncIterable<Uint8Array> {
  let before: Uint8Array = new Uint8Array(0); // the beginning of a character at the end of the last piece
  let at = 0;
  let kind: string | null = null;
  for await (const piece of pieces) {
    if (at === 0 && before.length === 0) kind = fileKind(piece);
    if (kind === UTF16 && piece.includes(0)) throw noText(place, kind, `byte ${at + piece.indexOf(0)} is NUL`);
    const bytes = before.length === 0 ? piece : Buffer.concat([before, piece]);
    const whole = bytes.length - openAtEnd(bytes);
    if (!isUtf8(bytes.subarray(0, whole)))
      throw noText(place, kind, `byte ${at + firstInvalid(bytes)} begins no character`);
    before = bytes.slice(whole);
    at += whole;
    yield piece;
  }
  if (before.length > 0) throw noText(place, kind, `byte ${at} begins no character`);
}

const noText = (place: string, kind: string | null, fault: string): TrainError =>
  new TrainError("bad-data", `${place} is not UTF-8 text${kind === null ? "" : `, it is ${kind}`}: ${fault}`, {
    hint:
      kind === UTF16 || kind === null
        ? "convert it to UTF-8"
        : "give text: a .txt file, or JSONL with the text of each document in a field",
  });

/** Bytes at the end that begin a character and do not end it. */
function openAtEnd(bytes: Uint8Array): number {
  for (let n = 1; n <= Math.min(3, bytes.length); n++) {
    const byte = bytes[bytes.length - n]!;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return n < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? n : 0;
  }
  return 0;
}

/** The first byte that begins no character. */
function firstInvalid(bytes: Uint8Array): number {
  let [from, to] = [0, bytes.length];
  // The longest beginning that is UTF-8, but for the beginning of a character at its end.
  while (from < to) {
    const middle = (from + to + 1) >> 1;
    const some = bytes.subarray(0, middle);
    if (isUtf8(some.subarray(0, middle - openAtEnd(some)))) from = middle;
    else to = middle - 1;
  }
  const begun = bytes.subarray(0, from);
  return from - openAtEnd(begun);
}
