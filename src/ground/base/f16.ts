// Conversion between IEEE binary16 and doubles, rounding to nearest even.

const f64 = new Float64Array(1);
const f64bits = new Uint32Array(f64.buffer); // little-endian, like every platform with WebGPU

let values: Float32Array | null = null;

/** The values of all binary16 numbers, indexed by their bits. */
export const f16Values = (): Float32Array => (values ??= tableOfValues());

/** Builds the table from bit patterns, on first use. */
function tableOfValues(): Float32Array {
  const table = new Float32Array(0x10000);
  const words = new Uint32Array(table.buffer);
  for (let bits = 0; bits < 0x8000; bits++) {
    const exponent = bits >> 10;
    const fraction = bits & 0x3ff;
    if (exponent === 0) table[bits] = fraction * 2 ** -24;
    else if (exponent < 31) words[bits] = ((exponent + 112) << 23) | (fraction << 13);
    else table[bits] = fraction === 0 ? Infinity : NaN;
    table[bits | 0x8000] = -table[bits]!;
  }
  return table;
}

/** The bits of the nearest binary16 number; values of at least 65520 become infinite, NaN stays NaN. */
export function toF16(value: number): number {
  f64[0] = value;
  const high = f64bits[1]!;
  const sign = (high >>> 16) & 0x8000;
  const x = Math.abs(value);
  if (!(x < 65520)) return x !== x ? 0x7e00 : sign | 0x7c00;
  // Round to eleven significant bits; a fraction rounded up to 2048 carries into the exponent.
  const exponent = Math.max((high >>> 20) & 0x7ff, LEAST_EXPONENT);
  return sign | (((exponent - LEAST_EXPONENT) << 10) + toWhole(x * UNITS[exponent - LEAST_EXPONENT]!));
}

/** The nearest f16 value. */
export const roundToF16 = (value: number): number => f16Values()[toF16(value)]!;

/** The biased double exponent of 2^−14, the smallest normal binary16 number. */
const LEAST_EXPONENT = 1009;

/**
 * For each exponent from LEAST_EXPONENT on, the power of two that scales the last of eleven bits to 1; multiplication
 * by it is exact.
 */
const UNITS = Float64Array.from({ length: 30 }, (_, i) => 2 ** (24 - i));

/** Rounds to the nearest integer, ties to even, for x below 2^52: doubles from 2^52 on have no fractional bits. */
const toWhole = (x: number): number => x + 0x10000000000000 - 0x10000000000000;
