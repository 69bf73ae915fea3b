// Converts the words of a program to the element types of a file.
import { bug } from "../../ground/base/invariant.js";
import type { DType, Words } from "../../ground/base/dtype.js";
import { encodeBf16 } from "../program/encodings/bf16.js";
import { toBlocks } from "../program/encodings/block-file.js";
import { BLOCKS, quantize } from "../program/encodings/block-packing.js";
import { encodeF16 } from "../program/encodings/f16.js";

/** The element type that a file uses for a program's type. */
export const fileDtype = (dtype: DType): string =>
  ({ f32: "F32", f16: "F16", u32: "U32", i32: "I32", bool: "BOOL" })[dtype];

/** The bytes of a tensor in type `to`; floats may be stored as F32, F16, BF16, or in blocks along the last axis. */
export function toBytes(words: Words, to: string): Uint8Array {
  switch (to) {
    case "F32":
    case "U32":
    case "I32":
      return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
    case "F16":
      return twoBytesEach(words, encodeF16);
    case "BF16":
      return twoBytesEach(words, encodeBf16);
    case "Q8_0":
      return toBlocks(words, to, (block, integers) => quantize(BLOCKS.q8, block, integers));
    case "Q4_0":
      return toBlocks(words, to, (block, integers) => quantize(BLOCKS.q4, block, integers));
    case "BOOL":
      return Uint8Array.from(words);
    default:
      return bug(`values cannot be written as ${to}`);
  }
}

function twoBytesEach(words: Words, encode: typeof encodeF16): Uint8Array {
  const bits = new Uint16Array(words.length);
  encode(words, bits);
  return new Uint8Array(bits.buffer);
}
