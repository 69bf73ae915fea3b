// binary16: elements of WGSL type f16, which needs a device feature, or two packed in a word, which any device can
// unpack.
import type { Codec, ElementCodec } from "./codec.js";
import { twoInWord } from "./two-in-word.js";

export const packedF16: Codec = twoInWord("f16", (word) => `unpack2x16float(${word})`);

/** Rounds explicitly: WGSL allows a conversion to round in either direction, and leaves the overflow undefined. */
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

/**
 * `fn name(v: from) -> to`. A conversion may round either way, so what is no f16 is rounded to its eleven bits before;
 * below the least normal f16, 6e-5, that leaves one step of 6e-8. Shorter than `modc_f16`, which stands in all loads.
 */
export function halves(name: string, from: "f32" | "vec4f", to: string, exact: boolean): string {
  if (exact) return `fn ${name}(v: ${from}) -> ${to} { return ${to}(v); }`;
  const u = from === "f32" ? "u32" : "vec4u";
  return `fn ${name}(v: ${from}) -> ${to} {
  let bits = bitcast<${u}>(v);
  let even = (bits >> ${u}(13u)) & ${u}(1u);
  return ${to}(bitcast<${from}>((bits + ${u}(0xfffu) + even) & ${u}(0xffffe000u)));
}`;
}
