// The encodings by their names in programs.
import { bf16, roundedToBf16 } from "./bf16.js";
import type { Words } from "../../base/dtype.js";
import type { Encoding } from "./encoding.js";
import { f16, roundedToF16 } from "./f16.js";
import { word } from "./word.js";

export const ENCODING_NAMES = ["word", "f16", "bf16"] as const;
export type EncodingName = (typeof ENCODING_NAMES)[number];

export const encodings: Readonly<Record<EncodingName, Encoding>> = { word, f16, bf16 };

/** Values as kernels read them after packing: rounded to nearest, ties to even. Built packages do not include this. */
export const rounded: Readonly<Record<EncodingName, (values: Words) => Words>> = {
  word: (values) => values,
  f16: roundedToF16,
  bf16: roundedToBf16,
};
