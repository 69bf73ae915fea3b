// The file format of blocks, equal to GGUF's Q8_0 and Q4_0: the scale, then the integers. With four bits, byte i holds
// integer i in its low half and integer i + 16 in its high half.
import type { Words } from "../../../ground/base/dtype.js";
import { f16Values } from "../../../ground/base/f16.js";

/** Block types of files, with the bits of an integer. */
export const BLOCK_BITS = { Q8_0: 8, Q4_0: 4 } as const;
export type BlockType = keyof typeof BLOCK_BITS;

/** Encodings in blocks, with the type of files that has the same blocks; the largest blocks first. */
export const BLOCKS_OF = { q8: "Q8_0", q4: "Q4_0" } as const satisfies Record<string, BlockType>;
export type BlockEncoding = keyof typeof BLOCKS_OF;
export const BLOCK_ENCODINGS = Object.keys(BLOCKS_OF) as readonly BlockEncoding[]; // the keys of a constant table
export const isBlockEncoding = (name: string): name is BlockEncoding => Object.hasOwn(BLOCKS_OF, name);

export const isBlockType = (type: string): type is BlockType => Object.hasOwn(BLOCK_BITS, type);

/** Values per block, and bytes of the scale. */
export const BLOCK = 32;
const SCALE_BYTES = 2;

/** Bytes of a block. */
export const blockBytes = (type: BlockType): number => SCALE_BYTES + (BLOCK * BLOCK_BITS[type]) / 8;

/** The values of whole blocks. */
export function fromBlocks(bytes: Uint8Array, type: BlockType): Float32Array {
  const size = blockBytes(type);
  const values = new Float32Array((bytes.length / size) * BLOCK);
  for (let at = 0, to = 0; at < bytes.length; at += size, to += BLOCK) {
    const scale = f16Values()[bytes[at]! | (bytes[at + 1]! << 8)]!;
    for (let i = 0; i < BLOCK; i++) {
      const byte = bytes[at + SCALE_BYTES + (type === "Q8_0" ? i : i % 16)]!;
      values[to + i] = scale * (type === "Q8_0" ? (byte << 24) >> 24 : (i < 16 ? byte & 15 : byte >> 4) - 8);
    }
  }
  return values;
}

/**
 * Encodes values as blocks along their last axis. `quantize` writes the integers of a block and returns the bits of its
 * scale.
 */
export function toBlocks(
  values: Words,
  type: BlockType,
  quantize: (block: Float32Array, integers: Int8Array) => number,
): Uint8Array {
  const size = blockBytes(type);
  const bytes = new Uint8Array((values.length / BLOCK) * size);
  const block = new Float32Array(BLOCK);
  const integers = new Int8Array(BLOCK);
  for (let at = 0, from = 0; at < bytes.length; at += size, from += BLOCK) {
    block.set(values.subarray(from, from + BLOCK));
    const scale = quantize(block, integers);
    bytes[at] = scale & 255;
    bytes[at + 1] = scale >> 8;
    const first = at + SCALE_BYTES;
    if (type === "Q8_0") bytes.set(integers, first);
    else for (let i = 0; i < 16; i++) bytes[first + i] = (integers[i]! + 8) | ((integers[i + 16]! + 8) << 4);
  }
  return bytes;
}
