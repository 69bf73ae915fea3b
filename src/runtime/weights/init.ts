// Initial values of weights: a function of the seed and the weight's path alone, with exact arithmetic, so that all
// machines get equal values.
import { countOf } from "../../ground/base/collections.js";
import type { ProgramWeight } from "../program/program.js";
import { wordsFor, type Words } from "../../ground/base/dtype.js";
import { roundToF16 } from "../../ground/base/f16.js";
import { exactNormals } from "../../ground/numerics/normal.js";
import { philoxBlocks } from "../../ground/numerics/philox.js";
import { atOnce, inTurns, type Pause } from "./in-turns.js";

/** Second word of the key of initial weights: "init" in ASCII. Random operators have another. */
const INIT_KEY = 0x696e6974;

/**
 * Initial values of a weight. Element i draws from Philox4x32-10 with counter (⌊i/n⌋ low, high, hash of the path low,
 * high), n the draws in a block: so the values of a weight do not depend on the model's other weights. Only + − × ÷ √
 * are used, which round alike everywhere. Values are computed in f64, a piece at a time, and rounded once.
 */
export const initialValues = (weight: ProgramWeight, seed: number): Words => atOnce(inPieces(weight, seed));

/** Yields after each piece, every few milliseconds. */
function* inPieces({ path, dtype, shape, init }: ProgramWeight, seed: number): Generator<void, Words> {
  const out = wordsFor(dtype, countOf(shape));
  const rounds = dtype === "f16";
  switch (init.kind) {
    case "zeros":
      return out;
    case "ones":
      return out.fill(1);
    case "normal":
      return yield* fillWithDraws(out, normals(path, seed), { scale: init.std, shift: 0, rounds });
    case "uniform":
      return yield* fillWithDraws(out, uniforms(path, seed), { scale: init.high - init.low, shift: init.low, rounds });
    case "orthogonal":
      return yield* copied(out, yield* orthogonal(shape, normals(path, seed)), { scale: init.gain, shift: 0, rounds });
    default:
      return init satisfies never;
  }
}

/** Initial values of a program's weights, for `load` or for saving. */
export const initialWeights =
  (seed = 0) =>
  (weight: ProgramWeight): Words =>
    initialValues(weight, seed);

/** The same, with pauses during large weights. */
export const initialWeightsInTurns =
  (seed: number, pause: Pause) =>
  (weight: ProgramWeight): Promise<Words> =>
    inTurns(inPieces(weight, seed), pause);

/** The map of a random draw to a value: draw · scale + shift, rounded once. */
interface Rounding {
  readonly scale: number;
  readonly shift: number;
  /** Whether values are rounded to f16. */
  readonly rounds: boolean;
}

/** Fills `to` with the draws from element `first` on, a multiple of four. */
type Draw = (to: Float64Array, first: number) => void;

const PIECE = 4096;

/** Draws piece by piece: weights are large, so only one piece at a time is held in f64. */
function* fillWithDraws(out: Words, draw: Draw, rounding: Rounding): Generator<void, Words> {
  const piece = new Float64Array(Math.min(PIECE, out.length));
  for (let first = 0; first < out.length; first += PIECE) {
    const values = piece.subarray(0, out.length - first);
    draw(values, first);
    put(out, first, values, rounding);
    yield;
  }
  return out;
}

function* copied(out: Words, values: Float64Array, rounding: Rounding): Generator<void, Words> {
  for (let first = 0; first < out.length; first += PIECE) {
    put(out, first, values.subarray(first, first + PIECE), rounding);
    yield;
  }
  return out;
}

function put(out: Words, first: number, values: Float64Array, { scale, shift, rounds }: Rounding): void {
  if (rounds) for (let i = 0; i < values.length; i++) out[first + i] = roundToF16(values[i]! * scale + shift);
  else for (let i = 0; i < values.length; i++) out[first + i] = values[i]! * scale + shift;
}

/** Standard normal draws, two from a block. */
function normals(path: string, seed: number): Draw {
  const draw = blocks(path, seed);
  return (to, first) => {
    for (let i = 0; i < to.length; i += PIECE)
      exactNormals(to.subarray(i, i + PIECE), draw((first + i) / 2, Math.min(PIECE, to.length - i) / 2));
  };
}

/** Uniform draws, multiples of 2^−32 in [0, 1), four from a block. */
function uniforms(path: string, seed: number): Draw {
  const draw = blocks(path, seed);
  return (to, first) => {
    const words = draw(first / 4, to.length / 4);
    for (let i = 0; i < to.length; i++) to[i] = (words[i]! >>> 0) / 0x100000000;
  };
}

/**
 * The words of `count` Philox blocks from number `first` on. The next call overwrites the returned array. `first` is a
 * multiple of the blocks in a piece.
 */
function blocks(path: string, seed: number): (first: number, count: number) => Int32Array {
  const [low, high] = hash(path);
  let words = new Int32Array(0);
  return (first, count) => {
    if (words.length < 4 * count) words = new Int32Array(4 * Math.ceil(count));
    philoxBlocks(words, [first >>> 0, Math.floor(first / 0x100000000), low, high], [seed, INIT_KEY]);
    return words;
  };
}

/** 64-bit FNV-1a over the UTF-8 bytes, as two words. */
function hash(text: string): readonly [number, number] {
  let h = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) h = BigInt.asUintN(64, (h ^ BigInt(byte)) * 0x100000001b3n);
  return [Number(h & 0xffffffffn), Number(h >> 32n)];
}

/**
 * A random matrix [rows, columns] (further dimensions count as columns) whose vectors along the shorter side are
 * orthonormal, by Gram-Schmidt on normal vectors. Each is projected twice, which keeps them orthogonal to the last
 * bits; as R has a positive diagonal, all orthogonal matrices are equally likely (Mezzadri 2007).
 */
function* orthogonal(shape: readonly number[], draw: Draw): Generator<void, Float64Array> {
  const rows = shape[0] ?? 1;
  const columns = countOf(shape.slice(1));
  const wide = rows <= columns;
  const [vectors, length] = wide ? [rows, columns] : [columns, rows];
  const q = new Float64Array(vectors * length);
  for (let first = 0; first < q.length; first += PIECE) {
    draw(q.subarray(first, first + PIECE), first);
    yield;
  }
  for (let v = 0; v < vectors; v++) {
    const row = q.subarray(v * length, (v + 1) * length);
    for (let pass = 0; pass < 2; pass++)
      for (let u = 0; u < v; u++) {
        project(row, q.subarray(u * length, (u + 1) * length));
        yield;
      }
    const norm = Math.sqrt(dot(row, row));
    for (let i = 0; i < length; i++) row[i]! /= norm;
  }
  return wide ? q : yield* transposed(q, vectors, length);
}

/** row − (row · unit) unit, in place. */
function project(row: Float64Array, unit: Float64Array): void {
  const along = dot(row, unit);
  for (let i = 0; i < row.length; i++) row[i]! -= along * unit[i]!;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function* transposed(q: Float64Array, rows: number, columns: number): Generator<void, Float64Array> {
  const out = new Float64Array(q.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) out[c * rows + r] = q[r * columns + c]!;
    yield;
  }
  return out;
}
