// Values that are rounded to a type of fewer digits as they are read, and computed with in f32.
import type { ReducedType } from "../../../ground/base/dtype.js";
import { valueByValue, type Codec } from "./codec.js";

/**
 * The codec of a product's b, which the product rounds. Values that are stored in another type than f32 are read as
 * they are stored.
 */
export function reduced(codec: Codec, to: ReducedType): Codec {
  if (codec.encoding !== "word") return codec;
  const matrix = valueByValue(codec, "reducedB(x)");
  return {
    ...codec,
    readOne: (name, buffer, stride) =>
      `${codec.readOne(`${name}Stored`, buffer, stride)}\n` +
      `fn ${name}(at: u32) -> f32 { return modc_${to}(${name}Stored(at)); }`,
    matrix: { ...matrix, functions: (...given) => `${FOUR[to]}\n${matrix.functions(...given)}` },
  };
}

/** The helpers `modc_bf16` and `modc_f16` for four values, without branches. */
const FOUR: Readonly<Record<ReducedType, string>> = {
  bf16: `fn reducedB(x: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(x);
  let near = (bits + vec4u(0x00007fffu) + ((bits >> vec4u(16u)) & vec4u(1u))) & vec4u(0xffff0000u);
  return bitcast<vec4f>(select(near, bits, (bits & vec4u(0x7fffffffu)) > vec4u(0x7f800000u)));
}`,
  f16: `fn reducedB(x: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(x);
  let a = bits & vec4u(0x7fffffffu);
  let normal = (a + vec4u(0x00000fffu) + ((a >> vec4u(13u)) & vec4u(1u))) & vec4u(0xffffe000u);
  let small = bitcast<vec4u>(round(bitcast<vec4f>(a) * 16777216.0) * 5.9604644775390625e-8);
  let large = select(vec4u(0x7f800000u), a, a > vec4u(0x7f800000u));
  let fits = select(normal, small, a < vec4u(0x38800000u));
  return bitcast<vec4f>((bits & vec4u(0x80000000u)) | select(fits, large, a >= vec4u(0x477ff000u)));
}`,
};
