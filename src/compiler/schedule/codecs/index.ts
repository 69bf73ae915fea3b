// The codec of each encoding: a total table, so that an encoding without a codec does not compile.
import type { EncodingName } from "../../../runtime/program/encodings/index.js";
import type { ActivationType } from "../../../runtime/program/target.js";
import { packedBf16 } from "./bf16.js";
import { blocks } from "./blocks.js";
import type { Codec, ElementCodec } from "./codec.js";
import { f16, packedF16 } from "./f16.js";
import { words } from "./words.js";

/** Codecs of weights that kernels decode. */
export const weightCodecs: Readonly<Record<EncodingName, Codec>> = {
  word: words,
  f16: packedF16,
  bf16: packedBf16,
  q8: blocks("q8"),
  q4: blocks("q4"),
};

/** Codecs of activations, and of weights read as elements. */
export const activationCodecs: Readonly<Record<ActivationType, ElementCodec>> = { f32: words, f16 };
