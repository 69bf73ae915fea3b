// The packers of all encodings but words. A separate module, so that packages of f32 weights omit it.
import { encodeBf16 } from "./bf16.js";
import { BLOCKS, packBlocks } from "./block-packing.js";
import type { EncodingName, Pack, Packer } from "./encoding.js";
import { encodeF16 } from "./f16.js";
import { unheldIn } from "./held.js";
import { twoBytes } from "./two-bytes.js";

export const packers: Readonly<Record<Exclude<EncodingName, "word">, Pack>> = {
  f16: holding("f16", twoBytes(encodeF16)),
  bf16: holding("bf16", twoBytes(encodeBf16)),
  q8: holding("q8", packBlocks(BLOCKS.q8)),
  q4: holding("q4", packBlocks(BLOCKS.q4)),
};

function holding(name: EncodingName, pack: Pack): Pack {
  const unheld: Packer["unheld"] = (weight, values) => unheldIn(weight, values, name);
  return (...given) => Object.assign(pack(...given), { unheld });
}
