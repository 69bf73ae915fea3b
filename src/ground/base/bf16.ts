// Rounding of doubles to bfloat16, to nearest even.

const f64 = new Float64Array(1);
const f64bits = new Uint32Array(f64.buffer); // little-endian, like every platform with WebGPU

/** The nearest bf16 value: the sign, 8 bits of exponent and 8 significant bits of an f32. NaN stays NaN. */
export function roundToBf16(value: number): number {
  if (Math.abs(value) < LEAST_NORMAL) return toWhole(value / LEAST) * LEAST;
  f64[0] = value;
  const [low, high] = [f64bits[0]!, f64bits[1]!];
  if (!Number.isFinite(value)) return value;
  const behind = high & 0x1fff; // with `low`, the digits that bf16 lacks
  const up = behind > 0x1000 || (behind === 0x1000 && (low !== 0 || ((high >>> 13) & 1) === 1));
  f64bits[0] = 0;
  f64bits[1] = high - behind + (up ? 0x2000 : 0); // may carry into the exponent
  return Math.abs(f64[0]) < TOO_LARGE ? f64[0] : Math.sign(value) * Infinity;
}

const LEAST_NORMAL = 2 ** -126;
/** The least number above 0. */
const LEAST = 2 ** -133;
const TOO_LARGE = 2 ** 128;

/** Rounds to the nearest integer, ties to even, for |x| below 2^51: doubles from 2^52 on have no fractional bits. */
const toWhole = (x: number): number => x + 0x18000000000000 - 0x18000000000000;
