// bfloat16, two in a word: each is the upper half of an f32.
import type { Codec } from "./codec.js";
import { twoInWord } from "./two-in-word.js";

export const packedBf16: Codec = twoInWord(
  "bf16",
  (word) => `bitcast<vec2f>(vec2u(${word} << 16u, ${word} & 0xffff0000u))`,
);
