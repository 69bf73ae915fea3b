// Values as kernels read them after packing. Built packages omit this file.
import type { Words } from "../../../ground/base/dtype.js";
import { roundedToBf16 } from "./bf16.js";
import { BLOCKS, roundedInBlocks } from "./block-packing.js";
import { roundedToF16 } from "./f16.js";
import type { EncodingName } from "./encoding.js";

/** The values of a block are `stride` apart. */
export const rounded: Readonly<Record<EncodingName, (values: Words, stride: number) => Words>> = {
  word: (values) => values,
  f16: roundedToF16,
  bf16: roundedToBf16,
  q8: (values, stride) => roundedInBlocks(BLOCKS.q8, values, stride),
  q4: (values, stride) => roundedInBlocks(BLOCKS.q4, values, stride),
};
