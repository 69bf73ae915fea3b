// Encodings by the names that programs have for them.
import { bf16 } from "./bf16.js";
import type { Encoding } from "./encoding.js";
import { f16 } from "./f16.js";
import { word } from "./word.js";

export const ENCODING_NAMES = ["word", "f16", "bf16"] as const;
export type EncodingName = (typeof ENCODING_NAMES)[number];

export const encodings: Readonly<Record<EncodingName, Encoding>> = { word, f16, bf16 };
