// The values of a tensor's blocks, in f32: each step of a type's formula rounded as ggml rounds it.
import { f16Values } from "../../../ground/base/f16.js";
import { bug } from "../../../ground/base/invariant.js";
import { BLOCK } from "../../program/encodings/block-file.js";
import { fromQ4K, fromQ5K, fromQ6K } from "./k-blocks.js";
import type { TensorType } from "./types.js";

/** The values of quantized blocks, but for the types that what reads weights converts: floats, Q8_0 and Q4_0. */
export function dequantize({ name, values, bytes: blockBytes }: TensorType, bytes: Uint8Array): Float32Array {
  const out = new Float32Array((bytes.length / blockBytes) * values);
  switch (name) {
    case "Q4_1":
      fromQ4(bytes, out);
      return out;
    case "Q5_0":
    case "Q5_1":
      fromQ5(bytes, out, { least: name === "Q5_1" });
      return out;
    case "Q4_K":
      fromQ4K(bytes, out);
      return out;
    case "Q5_K":
      fromQ5K(bytes, out);
      return out;
    case "Q6_K":
      fromQ6K(bytes, out);
      return out;
    default:
      return bug(`${name} is converted as it is`);
  }
}

/** x = d · q + m, with q from 0 to 15. A byte has a value of the first half below, and one of the second above. */
function fromQ4(bytes: Uint8Array, out: Float32Array): void {
  const f16 = f16Values();
  for (let at = 0, to = 0; to < out.length; at += 20, to += BLOCK) {
    const d = f16[bytes[at]! | (bytes[at + 1]! << 8)]!;
    const m = f16[bytes[at + 2]! | (bytes[at + 3]! << 8)]!;
    for (let i = 0; i < BLOCK / 2; i++) {
      const byte = bytes[at + 4 + i]!;
      out[to + i] = Math.fround(d * (byte & 15)) + m;
      out[to + BLOCK / 2 + i] = Math.fround(d * (byte >> 4)) + m;
    }
  }
}

/** The same with a fifth bit of each value in a word of its own; without a least value m, x = d · (q - 16). */
function fromQ5(bytes: Uint8Array, out: Float32Array, { least }: { readonly least: boolean }): void {
  const f16 = f16Values();
  const [shift, high] = least ? [0, 4] : [16, 2];
  for (let at = 0, to = 0; to < out.length; at += high + 20, to += BLOCK) {
    const d = f16[bytes[at]! | (bytes[at + 1]! << 8)]!;
    const m = least ? f16[bytes[at + 2]! | (bytes[at + 3]! << 8)]! : 0;
    for (let i = 0; i < BLOCK; i++) {
      const byte = bytes[at + high + 4 + (i % 16)]!;
      const fifth = (bytes[at + high + (i >> 3)]! >> (i & 7)) & 1;
      const q = (i < 16 ? byte & 15 : byte >> 4) | (fifth << 4);
      const scaled = Math.fround(d * (q - shift));
      out[to + i] = least ? scaled + m : scaled;
    }
  }
}
