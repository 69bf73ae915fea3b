// Which codec reads what is stored in an encoding: total, so that an encoding without one does not compile.
import type { EncodingName } from "../../program/encodings/index.js";
import type { ActivationType } from "../../program/target.js";
import { packedBf16 } from "./bf16.js";
import type { Codec, ElementCodec } from "./codec.js";
import { f16, packedF16 } from "./f16.js";
import { words } from "./words.js";

/** Of weights that kernels decode. */
export const weightCodecs: Readonly<Record<EncodingName, Codec>> = { word: words, f16: packedF16, bf16: packedBf16 };

/** Of what kernels hand to kernels, and of weights where that is no word. */
export const activationCodecs: Readonly<Record<ActivationType, ElementCodec>> = { f32: words, f16 };
