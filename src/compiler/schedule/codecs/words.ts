// Values in words of four bytes, which kernels use without conversion: f16 as f32, bool as u32.
import type { DType } from "../../../ground/base/dtype.js";
import type { WgslType } from "../plan/plan.js";
import type { Elements } from "./elements.js";
import { valueByValue, type ElementCodec } from "./codec.js";

/** The WGSL type of a word that holds a value of this dtype. */
export const storageType = (dtype: DType): WgslType => (dtype === "f16" ? "f32" : dtype === "bool" ? "u32" : dtype);

const four = "vec4f";
const readFour = (name: string, { at }: Elements): string => `fn ${name}(at: u32) -> vec4f { return ${at("at")}; }`;

export const words: ElementCodec = {
  encoding: "word",
  one: "f32",
  four,
  readOne: (name, buffer) => `fn ${name}(at: u32) -> f32 { return ${buffer}[at]; }`,
  readFour,
  matrix: valueByValue({ four, readFour }),
  element: storageType,
  load: (element) => element,
  loadFour: (element) => element,
  store: (value, dtype) => (dtype === "f16" ? `modc_f16(${value})` : value),
  storeFour: (x, dtype) => (dtype === "f32" ? x : null),
};
