// The values of ggml's blocks of 256: eight or sixteen groups, whose scales are themselves quantized.
import { f16Values } from "../../../ground/base/f16.js";

/** Values of a block, and of a group in Q4_K and Q5_K. */
const [BLOCK, GROUP] = [256, 32];

/** x = (d · scale) · q - dmin · least, with q from 0 to 15. Two groups share 32 bytes, the first below. */
export function fromQ4K(bytes: Uint8Array, out: Float32Array): void {
  for (let at = 0, to = 0; to < out.length; at += 144, to += BLOCK) {
    const { scales, leasts } = groupsOf(bytes, at);
    for (let i = 0; i < BLOCK; i++) {
      const group = i >> 5;
      const byte = bytes[at + 16 + GROUP * (group >> 1) + (i & 31)]!;
      out[to + i] = Math.fround(scales[group]! * (group & 1 ? byte >> 4 : byte & 15)) - leasts[group]!;
    }
  }
}

/** The same with a fifth bit: byte i of 32 has that of the i-th value of each group. */
export function fromQ5K(bytes: Uint8Array, out: Float32Array): void {
  for (let at = 0, to = 0; to < out.length; at += 176, to += BLOCK) {
    const { scales, leasts } = groupsOf(bytes, at);
    for (let i = 0; i < BLOCK; i++) {
      const group = i >> 5;
      const byte = bytes[at + 48 + GROUP * (group >> 1) + (i & 31)]!;
      const fifth = (bytes[at + 16 + (i & 31)]! >> group) & 1;
      const q = (group & 1 ? byte >> 4 : byte & 15) | (fifth << 4);
      out[to + i] = Math.fround(scales[group]! * q) - leasts[group]!;
    }
  }
}

const scales = new Float32Array(8);
const leasts = new Float32Array(8);

/**
 * The scales and least values of eight groups, in f32: d and dmin, two f16, times whole numbers of six bits in twelve
 * bytes. Those of the first four groups are the low bits of a byte each; of the others four bits lie in the last four
 * bytes, and two above those of the first.
 */
function groupsOf(bytes: Uint8Array, at: number): { readonly scales: Float32Array; readonly leasts: Float32Array } {
  const f16 = f16Values();
  const d = f16[bytes[at]! | (bytes[at + 1]! << 8)]!;
  const dmin = f16[bytes[at + 2]! | (bytes[at + 3]! << 8)]!;
  for (let group = 0; group < 4; group++) {
    const [scale, least, both] = [bytes[at + 4 + group]!, bytes[at + 8 + group]!, bytes[at + 12 + group]!];
    scales[group] = d * (scale & 63);
    leasts[group] = dmin * (least & 63);
    scales[group + 4] = d * ((both & 15) | ((scale >> 6) << 4));
    leasts[group + 4] = dmin * ((both >> 4) | ((least >> 6) << 4));
  }
  return { scales, leasts };
}

/**
 * x = (d · scale) · (q - 32), with q of six bits and sixteen groups of 16. In each half of a block, 64 bytes have the
 * low bits of its 128 values, those of the last 64 above, and 32 bytes the high ones, two for each quarter.
 */
export function fromQ6K(bytes: Uint8Array, out: Float32Array): void {
  const f16 = f16Values();
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0, to = 0; to < out.length; at += 210, to += BLOCK) {
    const d = f16[bytes[at + 208]! | (bytes[at + 209]! << 8)]!;
    for (let i = 0; i < BLOCK; i++) {
      const [half, quarter] = [i >> 7, (i >> 5) & 3];
      const byte = bytes[at + 64 * half + (i & 63)]!;
      const high = (bytes[at + 128 + 32 * half + (i & 31)]! >> (2 * quarter)) & 3;
      const q = (quarter < 2 ? byte & 15 : byte >> 4) | (high << 4);
      out[to + i] = Math.fround(d * signed[at + 192 + (i >> 4)]!) * (q - 32);
    }
  }
}
