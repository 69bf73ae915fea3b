// The encodings by their names in programs.
import { BLOCK, blockBytes, BLOCKS_OF, type BlockEncoding } from "./block-file.js";
import type { Encoding, EncodingName } from "./encoding.js";

export { ENCODING_NAMES, type EncodingName } from "./encoding.js";

export const encodings: Readonly<Record<EncodingName, Encoding>> = {
  /** A value in a word of four bytes, which kernels read without conversion. Every element type can be stored so. */
  word: {
    block: { values: 1, bytes: 4 },
    file: null,
    texture: "rgba32float",
    nearF16: false,
    packing: async () => (write) => ({ add: (values, at) => write(values, 4 * at) }),
  },
  /** IEEE binary16. */
  f16: { ...twoBytes("f16"), file: "F16", nearF16: true },
  /** bfloat16: the upper two bytes of an f32. */
  bf16: { ...twoBytes("bf16"), file: "BF16", nearF16: false },
  /** Blocks of integers of eight or four bits with a scale in f16, as in GGUF's Q8_0 and Q4_0. */
  q8: inBlocks("q8"),
  q4: inBlocks("q4"),
};

function twoBytes(name: "f16" | "bf16"): Pick<Encoding, "block" | "texture" | "packing"> {
  return { block: { values: 1, bytes: 2 }, texture: "rg32uint", packing: packedApart(name) };
}

function inBlocks(name: BlockEncoding): Encoding {
  const file = BLOCKS_OF[name];
  const block = { values: BLOCK, bytes: blockBytes(file) };
  return { block, file, texture: "rgba32uint", nearF16: true, packing: packedApart(name) };
}

function packedApart(name: Exclude<EncodingName, "word">): Encoding["packing"] {
  return async () => (await import("./packers.js")).packers[name];
}
