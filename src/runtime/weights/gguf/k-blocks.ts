// Reads values from the block formats of GGUF files.
import { f16Values } from "../../../ground/base/f16.js";
import { bug } from "../../../ground/base/invariant.js";
import { BLOCK } from "../../program/encodings/block-file.js";
import type { TensorType } from "./types.js";

/** Values of a block, and of a group in Q4_K and Q5_K. */
const [SUPER_BLOCK, GROUP] = [256, 32];

/**
 * x = (d · scale) · q - dmin · least, with q of two bits and sixteen groups of 16. A byte has the scale of a group in
 * its low half and the least value in its high half. In each half of a block, byte i of 32 has two bits of the i-th
 * value of each quarter.
 */
function fromQ2K(bytes: Uint8Array, out: Float32Array): void {
  const f16 = f16Values();
  for (let at = 0, to = 0; to < out.length; at += 84, to += SUPER_BLOCK) {
    const d = f16[bytes[at + 80]! | (bytes[at + 81]! << 8)]!;
    const dmin = f16[bytes[at + 82]! | (bytes[at + 83]! << 8)]!;
    for (let i = 0; i < SUPER_BLOCK; i++) {
      const both = bytes[at + (i >> 4)]!;
      const q = (bytes[at + 16 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3;
      out[to + i] = Math.fround(Math.fround(d * (both & 15)) * q) - Math.fround(dmin * (both >> 4));
    }
  }
}

/**
 * x = (d · (scale - 32)) · q, with q from -4 to 3 and sixteen groups of 16. The low two bits of q lie as in Q2_K; byte
 * i of the first 32 has the third bits of the i-th value of all eights of a block, which add 4. Of a scale of six
 * bits, the low four lie in the first eight bytes, those of the last eight groups above, and the high two in the last
 * four.
 */
function fromQ3K(bytes: Uint8Array, out: Float32Array): void {
  const f16 = f16Values();
  for (let at = 0, to = 0; to < out.length; at += 110, to += SUPER_BLOCK) {
    const d = f16[bytes[at + 108]! | (bytes[at + 109]! << 8)]!;
    for (let i = 0; i < SUPER_BLOCK; i++) {
      const group = i >> 4;
      const low = (bytes[at + 96 + (group & 7)]! >> (group < 8 ? 0 : 4)) & 15;
      const scale = low | (((bytes[at + 104 + (group & 3)]! >> (2 * (group >> 2))) & 3) << 4);
      const third = (bytes[at + (i & 31)]! >> (i >> 5)) & 1;
      const q = ((bytes[at + 32 + 32 * (i >> 7) + (i & 31)]! >> (2 * ((i >> 5) & 3))) & 3) + 4 * third - 4;
      out[to + i] = Math.fround(d * (scale - 32)) * q;
    }
  }
}

/** x = (d · scale) · q - dmin · least, with q from 0 to 15. Two groups share 32 bytes, the first below. */
function fromQ4K(bytes: Uint8Array, out: Float32Array): void {
  for (let at = 0, to = 0; to < out.length; at += 144, to += SUPER_BLOCK) {
    const { scales, leasts } = groupsOf(bytes, at);
    for (let i = 0; i < SUPER_BLOCK; i++) {
      const group = i >> 5;
      const byte = bytes[at + 16 + GROUP * (group >> 1) + (i & 31)]!;
      out[to + i] = Math.fround(scales[group]! * (group & 1 ? byte >> 4 : byte & 15)) - leasts[group]!;
    }
  }
}

/** The same with a fifth bit: byte i of 32 has the fifth bits of the i-th value of all groups. */
function fromQ5K(bytes: Uint8Array, out: Float32Array): void {
  for (let at = 0, to = 0; to < out.length; at += 176, to += SUPER_BLOCK) {
    const { scales, leasts } = groupsOf(bytes, at);
    for (let i = 0; i < SUPER_BLOCK; i++) {
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
function fromQ6K(bytes: Uint8Array, out: Float32Array): void {
  const f16 = f16Values();
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0, to = 0; to < out.length; at += 210, to += SUPER_BLOCK) {
    const d = f16[bytes[at + 208]! | (bytes[at + 209]! << 8)]!;
    for (let i = 0; i < SUPER_BLOCK; i++) {
      const [half, quarter] = [i >> 7, (i >> 5) & 3];
      const byte = bytes[at + 64 * half + (i & 63)]!;
      const high = (bytes[at + 128 + 32 * half + (i & 31)]! >> (2 * quarter)) & 3;
      const q = (quarter < 2 ? byte & 15 : byte >> 4) | (high << 4);
      out[to + i] = Math.fround(d * signed[at + 192 + (i >> 4)]!) * (q - 32);
    }
  }
}

/** The values of quantized blocks, but for the types that what reads weights converts: floats, Q8_0 and Q4_0. */
export function dequantize({ name, values, bytes: blockBytes }: TensorType, bytes: Uint8Array): Float32Array {
  const out = new Float32Array((bytes.length / blockBytes) * values);
  const read = READERS[name] ?? bug(`${name} is converted as it is`);
  read(bytes, out);
  return out;
}

const READERS: Partial<Readonly<Record<TensorType["name"], (bytes: Uint8Array, out: Float32Array) => void>>> = {
  Q4_1: fromQ4,
  Q5_0: (bytes, out) => fromQ5(bytes, out, { least: false }),
  Q5_1: (bytes, out) => fromQ5(bytes, out, { least: true }),
  Q2_K: fromQ2K,
  Q3_K: fromQ3K,
  Q4_K: fromQ4K,
  Q5_K: fromQ5K,
  Q6_K: fromQ6K,
  IQ4_NL: fromIQ4,
  MXFP4: fromMXFP4,
};

/** The values of IQ4_NL's sixteen codes, before the factor of a block. */
const IQ4_VALUES = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113] as const;

/** x = d · the value of a code of four bits, which lie as in Q4_1. */
function fromIQ4(bytes: Uint8Array, out: Float32Array): void {
  const f16 = f16Values();
  for (let at = 0, to = 0; to < out.length; at += 18, to += BLOCK) {
    const d = f16[bytes[at]! | (bytes[at + 1]! << 8)]!;
    for (let i = 0; i < BLOCK / 2; i++) {
      const byte = bytes[at + 2 + i]!;
      out[to + i] = d * IQ4_VALUES[byte & 15]!;
      out[to + BLOCK / 2 + i] = d * IQ4_VALUES[byte >> 4]!;
    }
  }
}

/** The magnitudes of E2M1, floats of four bits with the sign above. */
const E2M1_VALUES = [0, 0.5, 1, 1.5, 2, 3, 4, 6] as const;

/** x = 2^(e - 127) · a float of four bits (OCP Microscaling Formats 1.0, section 5.4), which lie as in Q4_1. */
function fromMXFP4(bytes: Uint8Array, out: Float32Array): void {
  const value = (code: number): number => (code & 8 ? -E2M1_VALUES[code & 7]! : E2M1_VALUES[code]!);
  for (let at = 0, to = 0; to < out.length; at += 17, to += BLOCK) {
    const scale = 2 ** (bytes[at]! - 127);
    for (let i = 0; i < BLOCK / 2; i++) {
      const byte = bytes[at + 1 + i]!;
      out[to + i] = scale * value(byte & 15);
      out[to + BLOCK / 2 + i] = scale * value(byte >> 4);
    }
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
