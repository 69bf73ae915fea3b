// Packs encodings in blocks: 32 values along the depth share a scale in f16, and each value is a small integer times
// the scale.
//
// In memory the integers of all values come first, then the scales of all blocks, so that both are read in whole words.
// If the values of a block are `stride` apart, `stride` blocks interleave, and a value has a row k in its block and a
// column. If `stride` is a multiple of eight, 16 bytes hold four columns of as many rows as fit, row by row; otherwise
// the integers are in the order of the values. Scales are in the order of the blocks' first values.
import type { Words } from "../../../ground/base/dtype.js";
import { f16Values, roundToF16, toF16 } from "../../../ground/base/f16.js";
import { BLOCK, type BlockEncoding } from "./block-file.js";
import type { Pack, Packer, WritePiece } from "./encoding.js";

/** Integers of `bits` bits, from −2^(bits − 1) on. */
export interface Blocks {
  readonly bits: 4 | 8;
  /** Candidate integers for the value of largest magnitude. The candidate with the least error in its block is used. */
  readonly tops: readonly number[];
}

/**
 * GGUF's Q4_0 stores the largest value as −8 times the scale, whatever its sign. With four more candidates, normally
 * distributed values lose 7% less.
 */
export const BLOCKS = {
  q8: { bits: 8, tops: [127] },
  q4: { bits: 4, tops: [-8, -8.5, -7.5, -7, 7] },
} as const satisfies Record<BlockEncoding, Blocks>;

export const packBlocks =
  (blocks: Blocks): Pack =>
  (write, stride, count) =>
    new BlockPacker(blocks, write, stride, count);

/** The values after packing and unpacking. */
export function roundedInBlocks(blocks: Blocks, values: Words, stride: number): Words {
  const read = new Float32Array(values.length);
  const block = new Float32Array(BLOCK);
  const integers = new Int8Array(BLOCK);
  for (let group = 0; group < values.length; group += BLOCK * stride)
    for (let first = group; first < group + stride; first++) {
      for (let k = 0; k < BLOCK; k++) block[k] = values[first + k * stride]!;
      const scale = f16Values()[quantize(blocks, block, integers)]!;
      for (let k = 0; k < BLOCK; k++) read[first + k * stride] = scale * integers[k]!;
    }
  return read;
}

/**
 * Writes the integers of a block and returns the bits of its scale. If integers and a scale can represent the values
 * exactly, they do: quantizing a second time loses nothing. A block with NaN or an infinite value becomes NaN.
 */
export function quantize(blocks: Blocks, values: Float32Array, integers: Int8Array): number {
  let top = 0;
  let sound = true;
  for (const x of values) {
    if (Math.abs(x) > Math.abs(top)) top = x;
    sound &&= Number.isFinite(x);
  }
  const scale = !sound ? NaN : top === 0 ? 0 : (exactScale(blocks, values, top) ?? bestScale(blocks, values, top));
  values.forEach((x, k) => (integers[k] = nearest(blocks, x, scale)));
  return toF16(scale);
}

/** The integer whose multiple of the scale is nearest to x. */
function nearest({ bits }: Blocks, x: number, scale: number): number {
  const most = 2 ** (bits - 1);
  return scale === 0 || scale !== scale ? 0 : Math.min(most - 1, Math.max(-most, Math.round(x / scale)));
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/**
 * The scale of which all values are integer multiples in range; null if f16 has no such scale. `top`, the value of
 * largest magnitude, is n times the scale: the odd part of n divides the significand of `top`, and leaves at most the
 * eleven bits of an f16.
 */
function exactScale({ bits }: Blocks, values: Float32Array, top: number): number | null {
  float[0] = top;
  let odd = (word[0]! & 0x7fffff) | (word[0]! & 0x7f800000 ? 0x800000 : 0);
  odd /= odd & -odd;
  if (odd >= 2 ** (10 + bits)) return null;
  const most = 2 ** (bits - 1);
  for (let m = 1; m < most; m += 2)
    if (odd % m === 0 && odd / m < 2048)
      for (let n = m; n <= most; n *= 2) {
        const scale = top / (n === most ? -n : n);
        if (roundToF16(scale) !== scale) continue;
        const fits = (x: number): boolean => {
          const integer = x / scale;
          return integer === Math.round(integer) && integer >= -most && integer < most;
        };
        if (values.every(fits)) return scale;
      }
  return null;
}

/** The scale with the least squared error among the scales that store `top` as one of `tops`. */
function bestScale(blocks: Blocks, values: Float32Array, top: number): number {
  let [best, least] = [0, Infinity];
  for (const n of blocks.tops) {
    const scale = roundToF16(top / n);
    let error = 0;
    if (blocks.tops.length > 1) for (const x of values) error += (x - scale * nearest(blocks, x, scale)) ** 2;
    if (error < least) [best, least] = [scale, error];
  }
  return best;
}

/** A block group that pieces have filled in part: its values, and the number of missing values. */
interface Open {
  readonly values: Float32Array;
  missing: number;
}

class BlockPacker implements Packer {
  readonly #blocks: Blocks;
  readonly #write: WritePiece;
  readonly #stride: number;
  readonly #count: number;
  /** Incomplete groups of `stride` blocks each, by group number. */
  readonly #open = new Map<number, Open>();
  readonly #scales: Uint16Array;
  readonly #block = new Float32Array(BLOCK);
  readonly #integers = new Int8Array(BLOCK);

  constructor(blocks: Blocks, write: WritePiece, stride: number, count: number) {
    [this.#blocks, this.#write, this.#stride, this.#count] = [blocks, write, stride, count];
    // Rounded up to whole words.
    this.#scales = new Uint16Array(2 * Math.ceil(count / BLOCK / 2));
  }

  add(values: Words, at: number): void {
    const group = BLOCK * this.#stride;
    const end = at + values.length;
    const [first, last] = [Math.ceil(at / group), Math.floor(end / group)];
    if (at < first * group) this.#collect(first - 1, values, at);
    if (first < last) this.#encode(values.subarray(first * group - at, last * group - at), first);
    if (first <= last && last * group < end) this.#collect(last, values, at);
  }

  /** Stores values of a group that is not complete yet. */
  #collect(g: number, values: Words, at: number): void {
    const group = BLOCK * this.#stride;
    const open = this.#open.get(g) ?? { values: new Float32Array(group), missing: group };
    this.#open.set(g, open);
    const [from, to] = [Math.max(at, g * group), Math.min(at + values.length, (g + 1) * group)];
    open.values.set(values.subarray(from - at, to - at), from - g * group);
    open.missing -= to - from;
    if (open.missing > 0) return;
    this.#open.delete(g);
    this.#encode(open.values, g);
  }

  /** Encodes whole groups from group `first` on. */
  #encode(values: Words, first: number): void {
    const { bits } = this.#blocks;
    const stride = this.#stride;
    const bytes = new Uint8Array((values.length * bits) / 8);
    for (let from = 0, number = first * stride; from < values.length; from += BLOCK * stride)
      for (let column = 0; column < stride; column++, number++) {
        for (let k = 0; k < BLOCK; k++) this.#block[k] = values[from + k * stride + column]!;
        this.#scales[number] = quantize(this.#blocks, this.#block, this.#integers);
        for (let k = 0; k < BLOCK; k++) {
          const byte = (from * bits) / 8 + placeOf(bits, stride, k, column);
          if (bits === 8) bytes[byte] = this.#integers[k]!;
          else bytes[Math.floor(byte)]! |= (this.#integers[k]! + 8) << (byte % 1 ? 4 : 0);
        }
      }
    this.#write(new Uint16Array(bytes.buffer), (first * stride * BLOCK * bits) / 8);
  }

  finish(): void {
    for (const [g, { values }] of this.#open) this.#encode(values, g);
    this.#write(this.#scales, (this.#count * this.#blocks.bits) / 8);
  }
}

/** The byte offset of an integer in its group; an offset that ends in .5 is the byte's high half. */
function placeOf(bits: number, stride: number, k: number, column: number): number {
  if (stride % 8 !== 0) return ((k * stride + column) * bits) / 8;
  const rows = 32 / bits;
  const vector = Math.floor(k / rows) * (stride / 4) + Math.floor(column / 4);
  const byte = 16 * vector + (column % 4);
  return bits === 8 ? byte + 4 * (k % 4) : byte + 4 * Math.floor((k % 8) / 2) + (k % 2) / 2;
}
