// Semantics of vector instructions for one lane.
import { leading, ones, reversed, trailing, upper, upperSigned } from "./scalar.js";

type Words = (a: number, b: number, c: number) => number;

const signed = (x: number): number => x | 0;
const field = (a: number, at: number, width: number): number => {
  const w = width & 31;
  return w === 0 ? 0 : (a >>> (at & 31)) & (2 ** w - 1);
};
const low24 = (x: number): number => x & 0xffffff;
const signed24 = (x: number): number => (x << 8) >> 8;
const median = (a: number, b: number, c: number): number => Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));

/** Integer operations: words in, a word out. */
export const INTEGERS: Readonly<Record<string, Words>> = {
  v_mov_b32: (a) => a,
  v_dual_mov_b32: (a) => a,
  v_add_nc_u32: (a, b) => a + b,
  v_dual_add_nc_u32: (a, b) => a + b,
  v_sub_nc_u32: (a, b) => a - b,
  v_subrev_nc_u32: (a, b) => b - a,
  v_add_nc_i32: (a, b) => a + b,
  v_sub_nc_i32: (a, b) => a - b,
  v_add3_u32: (a, b, c) => a + b + c,
  v_mul_lo_u32: (a, b) => Math.imul(a, b),
  v_mul_hi_u32: upper,
  v_mul_hi_i32: upperSigned,
  v_mul_u32_u24: (a, b) => Math.imul(low24(a), low24(b)),
  v_mul_i32_i24: (a, b) => Math.imul(signed24(a), signed24(b)),
  v_mul_hi_u32_u24: (a, b) => upper(low24(a), low24(b)),
  v_mad_u32_u24: (a, b, c) => Math.imul(low24(a), low24(b)) + c,
  v_mad_i32_i24: (a, b, c) => Math.imul(signed24(a), signed24(b)) + c,
  v_lshlrev_b32: (a, b) => b << (a & 31),
  v_dual_lshlrev_b32: (a, b) => b << (a & 31),
  v_lshrrev_b32: (a, b) => b >>> (a & 31),
  v_ashrrev_i32: (a, b) => signed(b) >> (a & 31),
  v_and_b32: (a, b) => a & b,
  v_dual_and_b32: (a, b) => a & b,
  v_or_b32: (a, b) => a | b,
  v_xor_b32: (a, b) => a ^ b,
  v_xnor_b32: (a, b) => ~(a ^ b),
  v_not_b32: (a) => ~a,
  v_bfe_u32: field,
  v_bfe_i32: (a, at, width) => {
    const w = width & 31;
    return w === 0 ? 0 : (field(a, at, w) << (32 - w)) >> (32 - w);
  },
  v_bfi_b32: (a, b, c) => (a & b) | (~a & c),
  v_bfm_b32: (a, b) => ((2 ** (a & 31) - 1) << (b & 31)) >>> 0,
  v_lshl_add_u32: (a, b, c) => (a << (b & 31)) + c,
  v_add_lshl_u32: (a, b, c) => (a + b) << (c & 31),
  v_lshl_or_b32: (a, b, c) => (a << (b & 31)) | c,
  v_and_or_b32: (a, b, c) => (a & b) | c,
  v_or3_b32: (a, b, c) => a | b | c,
  v_xor3_b32: (a, b, c) => a ^ b ^ c,
  v_xad_u32: (a, b, c) => (a ^ b) + c,
  v_min_u32: (a, b) => Math.min(a, b),
  v_max_u32: (a, b) => Math.max(a, b),
  v_min_i32: (a, b) => Math.min(signed(a), signed(b)),
  v_max_i32: (a, b) => Math.max(signed(a), signed(b)),
  v_min3_u32: (a, b, c) => Math.min(a, b, c),
  v_max3_u32: (a, b, c) => Math.max(a, b, c),
  v_min3_i32: (a, b, c) => Math.min(signed(a), signed(b), signed(c)),
  v_max3_i32: (a, b, c) => Math.max(signed(a), signed(b), signed(c)),
  v_med3_u32: median,
  v_med3_i32: (a, b, c) => median(signed(a), signed(b), signed(c)),
  v_minmax_u32: (a, b, c) => Math.max(Math.min(a, b), c),
  v_maxmin_u32: (a, b, c) => Math.min(Math.max(a, b), c),
  v_minmax_i32: (a, b, c) => Math.max(Math.min(signed(a), signed(b)), signed(c)),
  v_maxmin_i32: (a, b, c) => Math.min(Math.max(signed(a), signed(b)), signed(c)),
  v_sad_u32: (a, b, c) => Math.abs(a - b) + c,
  v_bcnt_u32_b32: (a, b) => ones(a) + b,
  v_bfrev_b32: reversed,
  v_clz_i32_u32: leading,
  v_ctz_i32_b32: trailing,
  v_alignbit_b32: (a, b, c) => ((c & 31) === 0 ? b : (b >>> (c & 31)) | (a << (32 - (c & 31)))),
  v_alignbyte_b32: (a, b, c) => ((c & 3) === 0 ? b : (b >>> (8 * (c & 3))) | (a << (32 - 8 * (c & 3)))),
  v_perm_b32: (a, b, c) => {
    let r = 0;
    for (let i = 0; i < 4; i++) {
      const from = (c >>> (8 * i)) & 255;
      const byte =
        from < 4 ? (b >>> (8 * from)) & 255 : from < 8 ? (a >>> (8 * (from - 4))) & 255 : from === 12 ? 0 : 255;
      r |= byte << (8 * i);
    }
    return r;
  },
  v_and_b16: (a, b) => a & b & 0xffff,
  v_or_b16: (a, b) => (a | b) & 0xffff,
  v_lshlrev_b16: (a, b) => (b << (a & 15)) & 0xffff,
  v_lshrrev_b16: (a, b) => (b & 0xffff) >>> (a & 15),
  v_add_nc_u16: (a, b) => (a + b) & 0xffff,
  v_sub_nc_u16: (a, b) => (a - b) & 0xffff,
  v_mul_lo_u16: (a, b) => Math.imul(a, b) & 0xffff,
  v_pack_b32_f16: (a, b) => (a & 0xffff) | (b << 16),
};

/** Float operations: floats in, a float out. */
export const FLOATS: Readonly<Record<string, Words>> = {
  v_add_f32: (a, b) => a + b,
  v_sub_f32: (a, b) => a - b,
  v_subrev_f32: (a, b) => b - a,
  v_mul_f32: (a, b) => a * b,
  v_mul_legacy_f32: (a, b) => a * b,
  v_fma_f32: (a, b, c) => a * b + c,
  v_mad_f32: (a, b, c) => a * b + c,
  v_fmaak_f32: (a, b, c) => a * b + c,
  v_fmamk_f32: (a, b, c) => a * b + c,
  v_max_f32: (a, b) => Math.max(a, b),
  v_min_f32: (a, b) => Math.min(a, b),
  v_max3_f32: (a, b, c) => Math.max(a, b, c),
  v_min3_f32: (a, b, c) => Math.min(a, b, c),
  v_med3_f32: median,
  v_maxmin_f32: (a, b, c) => Math.min(Math.max(a, b), c),
  v_minmax_f32: (a, b, c) => Math.max(Math.min(a, b), c),
  v_rcp_f32: (a) => 1 / a,
  v_rcp_iflag_f32: (a) => 1 / a,
  v_rsq_f32: (a) => 1 / Math.sqrt(a),
  v_sqrt_f32: (a) => Math.sqrt(a),
  v_exp_f32: (a) => 2 ** a,
  v_log_f32: (a) => Math.log2(a),
  v_fract_f32: (a) => a - Math.floor(a),
  v_floor_f32: (a) => Math.floor(a),
  v_ceil_f32: (a) => Math.ceil(a),
  v_trunc_f32: (a) => Math.trunc(a),
  v_rndne_f32: (a) => (Math.abs(a % 1) === 0.5 ? 2 * Math.round(a / 2) : Math.round(a)),
  v_sin_f32: (a) => Math.sin(2 * Math.PI * a),
  v_cos_f32: (a) => Math.cos(2 * Math.PI * a),
};
for (const op of [
  "v_add_f32",
  "v_sub_f32",
  "v_subrev_f32",
  "v_mul_f32",
  "v_max_f32",
  "v_min_f32",
  "v_fmaak_f32",
  "v_fmamk_f32",
])
  (FLOATS as Record<string, Words>)[op.replace("v_", "v_dual_")] = FLOATS[op]!;

const clamped = (x: number, low: number, high: number): number =>
  Number.isNaN(x) ? 0 : Math.min(Math.max(Math.trunc(x), low), high);
/** Words in, a float out. */
export const TO_FLOAT: Readonly<Record<string, Words>> = {
  v_cvt_f32_u32: (a) => a,
  v_cvt_f32_i32: signed,
  v_cvt_f32_ubyte0: (a) => a & 255,
  v_cvt_f32_ubyte1: (a) => (a >>> 8) & 255,
  v_cvt_f32_ubyte2: (a) => (a >>> 16) & 255,
  v_cvt_f32_ubyte3: (a) => a >>> 24,
  v_cvt_f32_f16: (a) => halfOf(a & 0xffff),
};
/** Floats in, a word out. */
export const FROM_FLOAT: Readonly<Record<string, Words>> = {
  v_cvt_u32_f32: (a) => clamped(a, 0, 0xffffffff),
  v_cvt_i32_f32: (a) => clamped(a, -0x80000000, 0x7fffffff),
};

function halfOf(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const size =
    exponent === 0
      ? fraction * 2 ** -24
      : exponent === 31
        ? fraction
          ? NaN
          : Infinity
        : (1024 + fraction) * 2 ** (exponent - 25);
  return bits & 0x8000 ? -size : size;
}

type Compare = (a: number, b: number) => boolean;
/** Comparisons by name; `u` and `n…` are true for NaN. */
export const COMPARES: Readonly<Record<string, Compare>> = {
  f: () => false,
  t: () => true,
  tru: () => true,
  lt: (a, b) => a < b,
  eq: (a, b) => a === b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  lg: (a, b) => Math.abs(a - b) > 0,
  ne: (a, b) => a !== b,
  neq: (a, b) => a !== b,
  ge: (a, b) => a >= b,
  o: (a, b) => !Number.isNaN(a) && !Number.isNaN(b),
  u: (a, b) => Number.isNaN(a) || Number.isNaN(b),
  nge: (a, b) => !(a >= b),
  nlg: (a, b) => !(Math.abs(a - b) > 0),
  ngt: (a, b) => !(a > b),
  nle: (a, b) => !(a <= b),
  nlt: (a, b) => !(a < b),
};
