// Blocks of 32 values with one scale each, as Q8_0 and Q4_0 have them: scales and values laid apart, bit for bit.
import type { TensorTypeName } from "./types.js";

/** A value is its scale times a whole number. */
export interface ScaledBlocks {
  /** Bits of a whole number in the file: 8 for -128 … 127, 4 for -8 … 7. */
  readonly bits: 8 | 4;
  /** The scale of each block, as the bits of an f16. */
  readonly scales: Uint16Array;
  /** The whole numbers, in the order of the values. */
  readonly values: Int8Array;
}

/** Values of a block. */
export const BLOCK = 32;
const [Q8_BYTES, Q4_BYTES] = [34, 18];

/** The blocks of a tensor; null for types of other blocks. */
export function scaledBlocks(type: TensorTypeName, bytes: Uint8Array): ScaledBlocks | null {
  if (type === "Q8_0") return blocksOf8(bytes);
  if (type === "Q4_0") return blocksOf4(bytes);
  return null;
}

function blocksOf8(bytes: Uint8Array): ScaledBlocks {
  const blocks = bytes.length / Q8_BYTES;
  const [scales, values] = [new Uint16Array(blocks), new Int8Array(blocks * BLOCK)];
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let block = 0, at = 0; block < blocks; block++, at += Q8_BYTES) {
    scales[block] = bytes[at]! | (bytes[at + 1]! << 8);
    values.set(signed.subarray(at + 2, at + Q8_BYTES), block * BLOCK);
  }
  return { bits: 8, scales, values };
}

/** A byte has a value of the block's first half below, and one of its second half above. */
function blocksOf4(bytes: Uint8Array): ScaledBlocks {
  const blocks = bytes.length / Q4_BYTES;
  const [scales, values] = [new Uint16Array(blocks), new Int8Array(blocks * BLOCK)];
  for (let block = 0, at = 0; block < blocks; block++, at += Q4_BYTES) {
    scales[block] = bytes[at]! | (bytes[at + 1]! << 8);
    for (let i = 0; i < BLOCK / 2; i++) {
      const byte = bytes[at + 2 + i]!;
      values[block * BLOCK + i] = (byte & 15) - 8;
      values[block * BLOCK + BLOCK / 2 + i] = (byte >> 4) - 8;
    }
  }
  return { bits: 4, scales, values };
}
