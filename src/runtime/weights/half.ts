// Half precision: IEEE binary16 and bfloat16, to and from 32 bits, rounding to nearest even.

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);
const f64 = new Float64Array(1);
const f64bits = new Uint32Array(f64.buffer); // little-endian, as every platform with WebGPU

let halves: Float32Array | null = null;

/** Bits of a binary16 number to its value. */
export const fromHalf = (bits: number): number => halfValues()[bits]!;

/** Values of all binary16 numbers, by their bits. */
export const halfValues = (): Float32Array => (halves ??= tableOfHalves());

/** Made of bits: the first checkpoint that is read waits for it. */
function tableOfHalves(): Float32Array {
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
export function toHalf(value: number): number {
  f64[0] = value;
  const high = f64bits[1]!;
  const sign = (high >>> 16) & 0x8000;
  const x = Math.abs(value);
  if (!(x < 65520)) return x !== x ? 0x7e00 : sign | 0x7c00;
  // Eleven bits from that of this exponent on; a fraction rounded up to 2048 carries into the exponent.
  const exponent = Math.max((high >>> 20) & 0x7ff, LEAST_EXPONENT);
  return sign | (((exponent - LEAST_EXPONENT) << 10) + toWhole(x * UNITS[exponent - LEAST_EXPONENT]!));
}

/** Of each value. */
export function toHalves(values: ArrayLike<number>, to: Uint16Array): void {
  for (let i = 0; i < values.length; i++) to[i] = toHalf(values[i]!);
}

/** Rounds a value of the language to the nearest f16 value: what `fromHalf(toHalf(value))` gives. */
export function roundToHalf(value: number): number {
  const x = Math.abs(value);
  if (!(x < 65520)) return x !== x ? NaN : value * Infinity;
  f64[0] = value;
  const high = f64bits[1]!;
  const unit = UNITS[Math.max((high >>> 20) & 0x7ff, LEAST_EXPONENT) - LEAST_EXPONENT]!;
  const rounded = toWhole(x * unit) / unit;
  return high >>> 31 ? -rounded : rounded;
}

/** Of 2^−14, the smallest number that is not subnormal, as a double has it. */
const LEAST_EXPONENT = 1009;

/**
 * For each exponent from there on what makes the last of eleven bits a unit: powers of two, so multiplying by them is
 * exact.
 */
const UNITS = Float64Array.from({ length: 30 }, (_, i) => 2 ** (24 - i));

/** The nearest whole number, or the even one, below 2^52: numbers of that size have no places behind the point. */
const toWhole = (x: number): number => x + 0x10000000000000 - 0x10000000000000;

/** Bits of a bfloat16 number to its value. */
export function fromBrain(bits: number): number {
  u32[0] = bits << 16;
  return f32[0]!;
}

/** The nearest bfloat16 number's bits to an f32 value. */
export function toBrain(value: number): number {
  f32[0] = value;
  return brainOf(u32[0]!);
}

/** Of each value, which are of 32 bits. */
export function toBrains(values: Float32Array | Uint32Array | Int32Array, to: Uint16Array): void {
  const floats = values instanceof Float32Array ? values : Float32Array.from(values);
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  for (let i = 0; i < bits.length; i++) to[i] = brainOf(bits[i]!);
}

/** From the bits of an f32 number, which go by units of their upper half; NaN stays NaN. */
const brainOf = (bits: number): number =>
  (bits & 0x7fffffff) > 0x7f800000 ? (bits >>> 16) | 0x40 : ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
