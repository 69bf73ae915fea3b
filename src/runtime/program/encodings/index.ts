// The encodings by their names in programs.
import { BLOCK, blockBytes } from "./block-file.js";
import type { Encoding, EncodingName } from "./encoding.js";

export { ENCODING_NAMES, type EncodingName } from "./encoding.js";

export const encodings: Readonly<Record<EncodingName, Encoding>> = {
  /** A value in a word of four bytes, which kernels read without conversion. Every element type can be stored so. */
  word: {
    block: { values: 1, bytes: 4 },
    packing: async () => (write) => ({ add: (values, at) => write(values, 4 * at) }),
  },
  /** IEEE binary16. */
  f16: packedApart("f16", 1, 2),
  /** bfloat16: the upper two bytes of an f32. */
  bf16: packedApart("bf16", 1, 2),
  /** Blocks of integers of eight or four bits with a scale in f16, as in GGUF's Q8_0 and Q4_0. */
  q8: packedApart("q8", BLOCK, blockBytes("Q8_0")),
  q4: packedApart("q4", BLOCK, blockBytes("Q4_0")),
};

function packedApart(name: Exclude<EncodingName, "word">, values: number, bytes: number): Encoding {
  return { block: { values, bytes }, packing: async () => (await import("./packers.js")).packers[name] };
}
