// binary16: elements of WGSL's own f16, which a device must have, or two packed in a word, which any device unpacks.
import type { Codec, ElementCodec } from "./codec.js";
import { twoInWord } from "./two-in-word.js";

export const packedF16: Codec = twoInWord("f16", (word) => `unpack2x16float(${word})`);

/** Rounded beforehand, for WGSL lets a conversion round either way, and do anything with what is too large. */
const rounded = (value: string): string => `modc_f16(${value})`;
const packed = (x: string, y: string): string => `pack2x16float(vec2f(${rounded(x)}, ${rounded(y)}))`;

export const f16: ElementCodec = {
  ...packedF16,
  one: "f16",
  readOne: (name, buffer) => `fn ${name}(at: u32) -> f32 { return f32(${buffer}[at]); }`,
  element: () => "f16",
  load: (element) => `f32(${element})`,
  loadFour: () => null,
  store: (value) => `f16(${rounded(value)})`,
  storeFour: (x) => `vec2u(${packed(`${x}.x`, `${x}.y`)}, ${packed(`${x}.z`, `${x}.w`)})`,
};
