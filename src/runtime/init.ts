// How weights start: from the seed and their own paths alone, in exact arithmetic, so that every machine starts the same.
import type { Program, ProgramWeight } from "../program/program.js";
import { exactNormal, philox, type Words as Block } from "../size/philox.js";
import type { Words } from "./weights/convert.js";
import { roundToHalf } from "./weights/half.js";

/** Second word of the key of initial weights: "init" in ASCII. Random operators have another. */
const INIT_KEY = 0x696e6974;

/**
 * Initial values of a weight. Element i draws from Philox4x32-10 with counter (⌊i/n⌋ low, high, hash of the path low, high), n the draws in
 * a block: so a weight starts the same whatever others a model has. Only + − × ÷ √ are used, which round one way everywhere.
 */
export function initialValues(weight: ProgramWeight, seed: number): Words {
  const values = fill(weight, seed);
  switch (weight.dtype) {
    case "f32":
      return Float32Array.from(values);
    case "f16":
      return Float32Array.from(values, roundToHalf);
    case "u32":
    case "bool":
      return Uint32Array.from(values);
    case "i32":
      return Int32Array.from(values);
    default:
      return weight.dtype satisfies never;
  }
}

/** Initial values of a program's weights, for `load` or for saving. */
export const initialWeights =
  (seed = 0) =>
  (weight: ProgramWeight): Words =>
    initialValues(weight, seed);

function fill(weight: Pick<Program["weights"][number], "path" | "shape" | "init">, seed: number): Float64Array {
  const elements = weight.shape.reduce((n, d) => n * d, 1);
  const { init } = weight;
  switch (init.kind) {
    case "zeros":
      return new Float64Array(elements);
    case "ones":
      return new Float64Array(elements).fill(1);
    case "normal":
      return scaled(normals(elements, weight.path, seed), init.std, 0);
    case "uniform":
      return scaled(uniforms(elements, weight.path, seed), init.high - init.low, init.low);
    case "orthogonal":
      return scaled(orthogonal(weight.shape, weight.path, seed), init.gain, 0);
    default:
      return init satisfies never;
  }
}

/** values · scale + shift, in place: weights are large. */
function scaled(values: Float64Array, scale: number, shift: number): Float64Array {
  for (let i = 0; i < values.length; i++) values[i] = values[i]! * scale + shift;
  return values;
}

/** Standard normals, two from a block. */
function normals(elements: number, path: string, seed: number): Float64Array {
  const out = new Float64Array(elements);
  const block = blocks(path, seed);
  for (let i = 0; i < elements; i += 2) {
    const [a, b, c, d] = block(i / 2);
    out[i] = exactNormal(a, b);
    if (i + 1 < elements) out[i + 1] = exactNormal(c, d);
  }
  return out;
}

/** Multiples of 2^−32 in [0, 1), four from a block. */
function uniforms(elements: number, path: string, seed: number): Float64Array {
  const out = new Float64Array(elements);
  const block = blocks(path, seed);
  for (let i = 0; i < elements; i += 4) {
    const words = block(i / 4);
    for (let j = 0; j < 4 && i + j < elements; j++) out[i + j] = words[j]! / 0x100000000;
  }
  return out;
}

function blocks(path: string, seed: number): (n: number) => Block {
  const [low, high] = hash(path);
  const key = [seed, INIT_KEY] as const;
  return (n) => philox([n >>> 0, Math.floor(n / 0x100000000), low, high], key);
}

/** FNV-1a of 64 bits over the UTF-8 bytes, as two words. */
function hash(text: string): readonly [number, number] {
  let h = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) h = BigInt.asUintN(64, (h ^ BigInt(byte)) * 0x100000001b3n);
  return [Number(h & 0xffffffffn), Number(h >> 32n)];
}

/**
 * Of [rows, columns] (further axes are columns): the shorter side's vectors are orthonormal. Gram and Schmidt's method on normal vectors, each projected
 * twice, which keeps them orthogonal to the last bits; as its R has a positive diagonal, all orthogonal matrices are equally likely (Mezzadri 2007).
 */
function orthogonal(shape: readonly number[], path: string, seed: number): Float64Array {
  const rows = shape[0] ?? 1;
  const columns = shape.slice(1).reduce((n, d) => n * d, 1);
  const wide = rows <= columns;
  const [vectors, length] = wide ? [rows, columns] : [columns, rows];
  const q = normals(vectors * length, path, seed);
  for (let v = 0; v < vectors; v++) {
    const row = q.subarray(v * length, (v + 1) * length);
    for (let pass = 0; pass < 2; pass++) for (let u = 0; u < v; u++) project(row, q.subarray(u * length, (u + 1) * length));
    const norm = Math.sqrt(dot(row, row));
    for (let i = 0; i < length; i++) row[i]! /= norm;
  }
  return wide ? q : transposed(q, vectors, length);
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

function transposed(q: Float64Array, rows: number, columns: number): Float64Array {
  const out = new Float64Array(q.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = q[r * columns + c]!;
  return out;
}
