// IEEE binary16, to and from 64 bits, rounding to nearest even.

const f64 = new Float64Array(1);
const f64bits = new Uint32Array(f64.buffer); // little-endian, as every platform with WebGPU

let values: Float32Array | null = null;

/** Values of all binary16 numbers, by their bits. */
export const f16Values = (): Float32Array => (values ??= tableOfValues());

/** Made of bits: the first checkpoint that is read waits for it. */
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

/** The nearest binary16 number's bits; values of 65520 and more become infinite, NaN stays NaN. */
export function toF16(value: number): number {
  f64[0] = value;
  const high = f64bits[1]!;
  const sign = (high >>> 16) & 0x8000;
  const x = Math.abs(value);
  if (!(x < 65520)) return x !== x ? 0x7e00 : sign | 0x7c00;
  // Eleven bits from that of this exponent on; a fraction rounded up to 2048 carries into the exponent.
  const exponent = Math.max((high >>> 20) & 0x7ff, LEAST_EXPONENT);
  return sign | (((exponent - LEAST_EXPONENT) << 10) + toWhole(x * UNITS[exponent - LEAST_EXPONENT]!));
}

/** The nearest f16 value. */
export const roundToF16 = (value: number): number => f16Values()[toF16(value)]!;

/** Of 2^−14, the smallest number that is not subnormal, as a double has it. */
const LEAST_EXPONENT = 1009;

/**
 * For each exponent from there on what makes the last of eleven bits a unit: powers of two, so multiplying by them is
 * exact.
 */
const UNITS = Float64Array.from({ length: 30 }, (_, i) => 2 ** (24 - i));

/** The nearest whole number, or the even one, below 2^52: numbers of that size have no places behind the point. */
const toWhole = (x: number): number => x + 0x10000000000000 - 0x10000000000000;
