// Codecs of two values in a word.
import type { EncodingName } from "../../program/encodings/index.js";
import type { Codec } from "./codec.js";

/** `both`: the values of a word, the lower bytes first, as a vec2f. */
export const twoInWord = (encoding: EncodingName, both: (word: string) => string): Codec => ({
  encoding,
  one: "u32",
  four: "vec2u",
  readOne: (name, buffer) =>
    `fn ${name}(at: u32) -> f32 {\n  let word = ${buffer}[at / 2u];\n  return ${both("word")}[at % 2u];\n}`,
  readFour: (name, buffer) =>
    `fn ${name}(at: u32) -> vec4f {\n  let words = ${buffer}[at];\n  ` +
    `return vec4f(${both("words.x")}, ${both("words.y")});\n}`,
});
