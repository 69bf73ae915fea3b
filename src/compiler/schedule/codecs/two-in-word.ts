// Codecs of two values in a word.
import type { EncodingName } from "../../../runtime/program/encodings/index.js";
import type { Elements } from "./elements.js";
import { valueByValue, type Codec } from "./codec.js";

/** `both`: the values of a word, the lower bytes first, as a vec2f. */
export function twoInWord(encoding: EncodingName, both: (word: string) => string): Codec {
  const four = "vec2u";
  const readFour = (name: string, { at }: Elements): string =>
    `fn ${name}(at: u32) -> vec4f {\n  let words = ${at("at")};\n  ` +
    `return vec4f(${both("words.x")}, ${both("words.y")});\n}`;
  return {
    encoding,
    one: "u32",
    four,
    readOne: (name, buffer) =>
      `fn ${name}(at: u32) -> f32 {\n  let word = ${buffer}[at / 2u];\n  return ${both("word")}[at % 2u];\n}`,
    readFour,
    matrix: valueByValue({ four, readFour }),
  };
}
