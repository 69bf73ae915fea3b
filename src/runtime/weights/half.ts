// Half precision: IEEE binary16 and bfloat16, to and from 32 bits, rounding to nearest even.

const f32 = new Float32Array(1);
const u32 = new Uint32Array(f32.buffer);
const f64 = new Float64Array(1);
const f64bits = new Uint32Array(f64.buffer); // little-endian, as every platform with WebGPU

let halves: Float32Array | null = null;

/** Bits of a binary16 number to its value. */
export function fromHalf(bits: number): number {
  halves ??= Float32Array.from({ length: 65536 }, (_, i) => halfValue(i));
  return halves[bits]!;
}

function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The nearest binary16 number's bits; values of 65520 and more become infinite, NaN stays NaN. */
export function toHalf(value: number): number {
  f64[0] = value;
  const high = f64bits[1]!;
  const sign = high >>> 31 ? 0x8000 : 0;
  const x = Math.abs(value);
  if (x !== x) return 0x7e00;
  if (x >= 65520) return sign | 0x7c00;
  if (x < 2 ** -14) return sign | nearestEven(x * 2 ** 24);
  // Scaling by a power of two is exact, so that a double is rounded once only. A fraction rounded up to 1024 carries into the exponent.
  const e = ((high >>> 20) & 0x7ff) - 1023;
  return sign | (((e + 15) << 10) + nearestEven((x * 2 ** -e - 1) * 1024));
}

/** Rounds a value of the language to the nearest f16 value. */
export const roundToHalf = (value: number): number => fromHalf(toHalf(value));

/** Bits of a bfloat16 number to its value. */
export function fromBrain(bits: number): number {
  u32[0] = bits << 16;
  return f32[0]!;
}

/** The nearest bfloat16 number's bits to an f32 value. */
export function toBrain(value: number): number {
  f32[0] = value;
  const bits = u32[0]!;
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

const nearestEven = (x: number): number => {
  const low = Math.floor(x);
  const rest = x - low;
  return rest > 0.5 || (rest === 0.5 && low % 2 === 1) ? low + 1 : low;
};
