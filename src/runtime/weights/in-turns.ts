// Compares and converts weights in pieces, so that the event loop can handle other events, such as an interrupt,
// between two pieces.
import { countOf } from "../../ground/base/collections.js";
import { blockBytes, isBlockType } from "../program/encodings/block-file.js";
import type { ProgramWeight } from "../program/program.js";
import { wordsFor, type Words } from "../../ground/base/dtype.js";
import { fromBytes } from "./formats/convert.js";
import type { Reading } from "./match.js";

/** Bytes of a piece, a multiple of the size of any value; or the whole blocks in them. */
const PIECE_BYTES = 1 << 21;

export const readingInTurns = (pause: Pause): Reading => ({
  equal: (a, b) => inTurns(sameBytes(a, b), pause),
  words: (bytes, from, weight) =>
    bytes.length > PIECE_BYTES ? inTurns(wordsFrom(bytes, from, weight), pause) : fromBytes(bytes, from, weight.dtype),
});

function* sameBytes(a: Uint8Array, b: Uint8Array): Generator<void, boolean> {
  if (a.length !== b.length) return false;
  for (let first = 0; first < a.length; first += PIECE_BYTES) {
    const end = Math.min(first + PIECE_BYTES, a.length);
    for (let i = first; i < end; i++) if (a[i] !== b[i]) return false;
    yield;
  }
  return true;
}

function* wordsFrom(
  bytes: Uint8Array,
  from: string,
  { dtype, shape }: Pick<ProgramWeight, "dtype" | "shape">,
): Generator<void, Words | string> {
  if (from === "F32" && dtype === "f32") return fromBytes(bytes, from, dtype); // unchanged
  const out = wordsFor(dtype, countOf(shape));
  const size = bytes.length / out.length;
  const piece = PIECE_BYTES - (isBlockType(from) ? PIECE_BYTES % blockBytes(from) : 0);
  for (let at = 0; at < bytes.length; at += piece) {
    const first = at / size;
    const words = fromBytes(bytes.subarray(at, at + piece), from, dtype, first);
    if (typeof words === "string") return words;
    out.set(words, first);
    yield;
  }
  return out;
}

/** Yields to the event loop. If it throws, the work ends. */
export type Pause = () => Promise<void>;

/** Milliseconds between two pauses, or the length of a piece if that is longer. */
const LONGEST_TURN = 50;

/** Runs all pieces, with pauses. */
export async function inTurns<T>(pieces: Generator<void, T>, pause: Pause): Promise<T> {
  for (let last = performance.now(); ;) {
    const { done, value } = pieces.next();
    if (done) return value;
    if (performance.now() - last < LONGEST_TURN) continue;
    await pause();
    last = performance.now();
  }
}

/** Runs all pieces without pauses. */
export function atOnce<T>(pieces: Generator<void, T>): T {
  for (;;) {
    const { done, value } = pieces.next();
    if (done) return value;
  }
}
