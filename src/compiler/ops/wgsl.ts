// WGSL for pointwise expressions: literals, and helper functions that have the semantics of `evaluate` on every device.
import type { DType } from "../../ground/base/dtype.js";
import { roundToF16 } from "../../ground/base/f16.js";

/** The WGSL type in which an element is computed: f32 for f16. */
export const wgslType = (dtype: DType): "f32" | "u32" | "i32" | "bool" => (dtype === "f16" ? "f32" : dtype);

/**
 * The source of each helper function, by name. An expression that contains `<name>(` needs that helper and the helpers
 * that it calls; `helpersIn` finds them. WGSL lets a compiler assume that NaN and infinity never occur, so they are
 * detected and created by their bits and never written as constants.
 */
export const wgslHelpers: ReadonlyMap<string, string> = new Map(
  Object.entries({
    modc_bits: `fn modc_bits(bits: u32) -> f32 {
  return bitcast<f32>(bits);
}`,
    modc_nan: `fn modc_nan(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u;
}`,
    // Rounds to the nearest binary16 value, ties to even, in integer arithmetic: built-in conversions may round
    // differently.
    modc_f16: `fn modc_f16(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let sign = bits & 0x80000000u;
  let a = bits & 0x7fffffffu;
  if (a >= 0x477ff000u) {
    return bitcast<f32>(sign | select(0x7f800000u, a, a > 0x7f800000u));
  }
  if (a < 0x38800000u) {
    let steps = round(bitcast<f32>(a) * 16777216.0);
    return bitcast<f32>(sign | bitcast<u32>(steps * 5.9604644775390625e-8));
  }
  return bitcast<f32>(sign | ((a + 0x00000fffu + ((a >> 13u) & 1u)) & 0xffffe000u));
}`,
    // Rounds to the nearest bfloat16, ties to even: the upper half of an f32.
    modc_bf16: `fn modc_bf16(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let near = (bits + 0x00007fffu + ((bits >> 16u) & 1u)) & 0xffff0000u;
  return bitcast<f32>(select(near, bits, (bits & 0x7fffffffu) > 0x7f800000u));
}`,
    modc_lt: `fn modc_lt(a: f32, b: f32) -> bool {
  return a < b && !modc_nan(a) && !modc_nan(b);
}`,
    modc_le: `fn modc_le(a: f32, b: f32) -> bool {
  return a <= b && !modc_nan(a) && !modc_nan(b);
}`,
    modc_eq: `fn modc_eq(a: f32, b: f32) -> bool {
  return a == b && !modc_nan(a) && !modc_nan(b);
}`,
    // Propagates NaN, as PyTorch and NumPy do.
    modc_min: `fn modc_min(a: f32, b: f32) -> f32 {
  return select(select(min(a, b), b, modc_nan(b)), a, modc_nan(a));
}`,
    modc_max: `fn modc_max(a: f32, b: f32) -> f32 {
  return select(select(max(a, b), b, modc_nan(b)), a, modc_nan(a));
}`,
    modc_relu: `fn modc_relu(x: f32) -> f32 {
  return select(max(x, 0.0), x, modc_nan(x));
}`,
    // Rounds toward zero and clamps to the range; NaN becomes 0.
    modc_u32: `fn modc_u32(x: f32) -> u32 {
  if (modc_nan(x) || x <= 0.0) { return 0u; }
  if (x >= 4294967296.0) { return 0xffffffffu; }
  return u32(x);
}`,
    modc_i32: `fn modc_i32(x: f32) -> i32 {
  if (modc_nan(x)) { return 0i; }
  if (x >= 2147483648.0) { return 2147483647i; }
  if (x <= -2147483648.0) { return bitcast<i32>(0x80000000u); }
  return i32(x);
}`,
    modc_truth: `fn modc_truth(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7fffffffu) != 0u;
}`,
    // 1 / (1 + e^-x) without overflow.
    modc_sigmoid: `fn modc_sigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}`,
    modc_silu: `fn modc_silu(x: f32) -> f32 {
  return x * modc_sigmoid(x);
}`,
    modc_softplus: `fn modc_softplus(x: f32) -> f32 {
  return max(x, 0.0) + log(1.0 + exp(-abs(x)));
}`,
    // A polynomial below 0.625 (Cephes, tanhf), else 1 − 2 / (1 + e^2x), which rounds to 1 from 10 on.
    modc_tanh: `fn modc_tanh(x: f32) -> f32 {
  let a = min(abs(x), 10.0);
  let z = a * a;
  let p = ((((-5.70498872745e-3 * z + 2.06390887954e-2) * z - 5.37397155531e-2) * z + 1.33314422036e-1) * z - 3.33332819422e-1) * z * a + a;
  let t = select(1.0 - 2.0 / (exp(2.0 * a) + 1.0), p, a < 0.625);
  return select(select(t, -t, x < 0.0), x, modc_nan(x));
}`,
    // The complement of the error function for x ≥ 0: Abramowitz and Stegun 7.1.26, within 1.5e-7.
    modc_erfc: `fn modc_erfc(x: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.3275911 * x);
  return ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * exp(-x * x);
}`,
    // x · Φ(x), with Φ computed from the tail on the side of x, which avoids cancellation.
    modc_gelu: `fn modc_gelu(x: f32) -> f32 {
  let tail = 0.5 * modc_erfc(min(abs(x), 1.0e4) * 0.70710678118654752);
  return x * select(1.0 - tail, tail, x < 0.0);
}`,
    modc_gelu_tanh: `fn modc_gelu_tanh(x: f32) -> f32 {
  let a = clamp(x, -1.0e4, 1.0e4);
  return x * modc_sigmoid(1.5957691216057308 * (a + 0.044715 * a * a * a));
}`,
    // Argument reduction by π/2 in three parts, then the polynomials of Cephes' sinf and cosf on [−π/4, π/4]. Accurate
    // for |x| up to about 8000.
    modc_sin: `fn modc_sin(x: f32) -> f32 {
  return modc_turn(x, 0u);
}`,
    modc_cos: `fn modc_cos(x: f32) -> f32 {
  return modc_turn(x, 1u);
}`,
    modc_turn: `fn modc_turn(x: f32, quarter: u32) -> f32 {
  let k = round(x * 0.63661977236758134);
  let r = fma(-k, 7.54978995489188216e-8, fma(-k, 4.837512969970703125e-4, fma(-k, 1.5703125, x)));
  let z = r * r;
  let s = ((-1.9515295891e-4 * z + 8.3321608736e-3) * z - 1.6666654611e-1) * z * r + r;
  let c = ((2.443315711809948e-5 * z - 1.388731625493765e-3) * z + 4.166664568298827e-2) * z * z - 0.5 * z + 1.0;
  let q = (u32(i32(k)) + quarter) & 3u;
  let v = select(s, c, (q & 1u) == 1u);
  return select(v, -v, q >= 2u);
}`,
    // IEEE 754 pow: x^0 is 1; for negative x the result is NaN unless y is an integer.
    modc_pow: `fn modc_pow(x: f32, y: f32) -> f32 {
  if (y == 0.0 || x == 1.0) { return 1.0; }
  let whole = floor(y) == y;
  if (x < 0.0 && !whole) { return modc_bits(0x7fc00000u); }
  let odd = whole && abs(y) < 16777216.0 && (i32(y) & 1) == 1;
  let p = pow(abs(x), y);
  return select(p, -p, (bitcast<u32>(x) >> 31u) == 1u && odd);
}`,
    modc_square_f32: square("f32"),
    modc_square_u32: square("u32"),
    modc_square_i32: square("i32"),
    modc_powi_f32: powi("f32"),
    modc_powi_u32: powi("u32"),
    modc_powi_i32: powi("i32"),
  }),
);

function square(type: "f32" | "u32" | "i32"): string {
  return `fn modc_square_${type}(x: ${type}) -> ${type} {
  return x * x;
}`;
}

function powi(type: "f32" | "u32" | "i32"): string {
  return `fn modc_powi_${type}(x: ${type}, exponent: u32) -> ${type} {
  var power = x;
  var result = ${type}(1);
  for (var n = exponent; n > 0u; n = n >> 1u) {
    if ((n & 1u) == 1u) { result = result * power; }
    power = power * power;
  }
  return result;
}`;
}

/** The names of the helpers that an expression calls, directly or indirectly; each follows the helpers it needs. */
export function helpersIn(wgsl: string): readonly string[] {
  const found = new Set<string>();
  const visit = (text: string): void => {
    for (const [, name] of text.matchAll(/\b(modc_[a-z0-9_]+)\(/g)) {
      const source = wgslHelpers.get(name!);
      if (source === undefined || found.has(name!) || source === text) continue;
      visit(source);
      found.add(name!);
    }
  };
  visit(wgsl);
  return [...found];
}

/** A WGSL literal of a value. f16 is written as f32; NaN, infinity and subnormals by their bits. */
export function wgslLiteral(value: number, dtype: DType): string {
  const type = wgslType(dtype);
  switch (type) {
    case "bool":
      return value !== 0 ? "true" : "false";
    case "u32":
      return `${value >>> 0}u`;
    case "i32":
      return value === -2147483648 ? "bitcast<i32>(0x80000000u)" : value < 0 ? `(${value | 0}i)` : `${value | 0}i`;
    case "f32":
      return floatLiteral(dtype === "f16" ? roundToF16(value) : Math.fround(value));
    default:
      return type satisfies never;
  }
}

function floatLiteral(x: number): string {
  const plain = Number.isFinite(x) && (x === 0 || Math.abs(x) >= 2 ** -126) && !Object.is(x, -0);
  return plain ? (x < 0 ? `(${x}f)` : `${x}f`) : `modc_bits(0x${bitsOf(x).toString(16).padStart(8, "0")}u)`;
}

const bitsOf = (x: number): number => new Uint32Array(new Float32Array([x]).buffer)[0]!;
