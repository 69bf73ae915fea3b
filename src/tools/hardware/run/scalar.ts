// Semantics of scalar instructions.
import { EXEC, type Instruction, type Operand } from "../isa/instruction.js";
import type { Wave } from "./wave.js";

export type Carry = (wave: Wave) => void;

const signed = (x: number): number => x | 0;
/** The upper word of a 64-bit product. */
export const upper = (a: number, b: number): number => {
  const [al, ah, bl, bh] = [a & 0xffff, a >>> 16, b & 0xffff, b >>> 16];
  const middle = ah * bl + Math.floor((al * bl) / 65536);
  return (ah * bh + Math.floor((middle + al * bh) / 65536)) >>> 0;
};
export const upperSigned = (a: number, b: number): number =>
  (upper(a, b) - (signed(a) < 0 ? b : 0) - (signed(b) < 0 ? a : 0)) >>> 0;
export const ones = (x: number): number => {
  let n = 0;
  for (let rest = x >>> 0; rest; rest = (rest & (rest - 1)) >>> 0) n++;
  return n;
};
/** A mask of `width` bits from bit `at` on. */
const bitField = (width: number, at: number): number => (((width >= 32 ? 0 : 1 << width) - 1) << at) >>> 0;
export const reversed = (x: number): number => {
  let r = 0;
  for (let i = 0; i < 32; i++) r |= ((x >>> i) & 1) << (31 - i);
  return r >>> 0;
};
export const trailing = (x: number): number => (x === 0 ? 0xffffffff : 31 - Math.clz32(x & -x));
export const leading = (x: number): number => (x === 0 ? 0xffffffff : Math.clz32(x));

/** Logical operations on two words; scc becomes 1 if the result is not zero. */
const LOGIC: Readonly<Record<string, (a: number, b: number) => number>> = {
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  nand: (a, b) => ~(a & b),
  nor: (a, b) => ~(a | b),
  xnor: (a, b) => ~(a ^ b),
  and_not1: (a, b) => a & ~b,
  or_not1: (a, b) => a | ~b,
  and_not0: (a, b) => ~a & b,
  or_not0: (a, b) => ~a | b,
};

/** Operations on two words: [result, scc]; without scc, scc stays. */
const WORDS: Readonly<Record<string, (a: number, b: number, scc: number) => readonly [number, number?]>> = {
  s_add_u32: (a, b) => [a + b, a + b > 0xffffffff ? 1 : 0],
  s_sub_u32: (a, b) => [a - b, b > a ? 1 : 0],
  s_add_i32: (a, b) => [a + b, signed(a) + signed(b) === signed(a + b) ? 0 : 1],
  s_sub_i32: (a, b) => [a - b, signed(a) - signed(b) === signed(a - b) ? 0 : 1],
  s_addc_u32: (a, b, scc) => [a + b + scc, a + b + scc > 0xffffffff ? 1 : 0],
  s_subb_u32: (a, b, scc) => [a - b - scc, b + scc > a ? 1 : 0],
  s_mul_i32: (a, b) => [Math.imul(a, b)],
  s_mul_hi_u32: (a, b) => [upper(a, b)],
  s_mul_hi_i32: (a, b) => [upperSigned(a, b)],
  s_min_u32: (a, b) => [Math.min(a, b), a < b ? 1 : 0],
  s_max_u32: (a, b) => [Math.max(a, b), a > b ? 1 : 0],
  s_min_i32: (a, b) => [Math.min(signed(a), signed(b)), signed(a) < signed(b) ? 1 : 0],
  s_max_i32: (a, b) => [Math.max(signed(a), signed(b)), signed(a) > signed(b) ? 1 : 0],
  s_lshl_b32: (a, b) => nonzero(a << (b & 31)),
  s_lshr_b32: (a, b) => nonzero(a >>> (b & 31)),
  s_ashr_i32: (a, b) => nonzero(signed(a) >> (b & 31)),
  s_bfm_b32: (a, b) => [bitField(a & 31, b & 31)],
  s_bfe_u32: (a, b) => nonzero((a >>> (b & 31)) & bitField((b >>> 16) & 127, 0)),
  s_bfe_i32: (a, b) => {
    const width = (b >>> 16) & 127;
    return nonzero(
      width === 0 ? 0 : width >= 32 ? signed(a) >> (b & 31) : (signed(a >>> (b & 31)) << (32 - width)) >> (32 - width),
    );
  },
  s_absdiff_i32: (a, b) => nonzero(Math.abs(signed(a) - signed(b))),
  s_lshl1_add_u32: (a, b) => [(a << 1) + b, a * 2 + b > 0xffffffff ? 1 : 0],
  s_lshl2_add_u32: (a, b) => [(a << 2) + b, a * 4 + b > 0xffffffff ? 1 : 0],
  s_lshl3_add_u32: (a, b) => [(a << 3) + b, a * 8 + b > 0xffffffff ? 1 : 0],
  s_lshl4_add_u32: (a, b) => [(a << 4) + b, a * 16 + b > 0xffffffff ? 1 : 0],
  s_pack_ll_b32_b16: (a, b) => [(a & 0xffff) | (b << 16)],
  s_pack_lh_b32_b16: (a, b) => [(a & 0xffff) | (b & 0xffff0000)],
  s_pack_hh_b32_b16: (a, b) => [(a >>> 16) | (b & 0xffff0000)],
  s_pack_hl_b32_b16: (a, b) => [(a >>> 16) | (b << 16)],
};
const nonzero = (x: number): readonly [number, number] => [x, x >>> 0 === 0 ? 0 : 1];

/** Operations on one word. */
const ONE: Readonly<Record<string, (a: number) => readonly [number, number?]>> = {
  s_mov_b32: (a) => [a],
  s_movk_i32: (a) => [(a << 16) >> 16],
  s_brev_b32: (a) => [reversed(a)],
  s_not_b32: (a) => nonzero(~a),
  s_bcnt1_i32_b32: (a) => nonzero(ones(a)),
  s_bcnt0_i32_b32: (a) => nonzero(32 - ones(a)),
  s_ctz_i32_b32: (a) => [trailing(a)],
  s_clz_i32_u32: (a) => [leading(a)],
  s_sext_i32_i8: (a) => [(a << 24) >> 24],
  s_sext_i32_i16: (a) => [(a << 16) >> 16],
  s_abs_i32: (a) => nonzero(Math.abs(signed(a))),
};

const COMPARE: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  eq: (a, b) => a === b,
  lg: (a, b) => a !== b,
  ne: (a, b) => a !== b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
};

const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);
const floatOf = (word: number): number => {
  bits[0] = word;
  return float[0]!;
};
const wordOf = (value: number): number => {
  float[0] = value;
  return bits[0]!;
};
/** Float arithmetic in scalar registers, which RDNA 4 has and uses for integer division. */
const OF_FLOATS: Readonly<Record<string, (a: number, b: number) => number>> = {
  s_cvt_f32_u32: (a) => wordOf(a),
  s_cvt_f32_i32: (a) => wordOf(signed(a)),
  s_cvt_u32_f32: (a) => Math.min(Math.max(Math.trunc(floatOf(a)) || 0, 0), 0xffffffff),
  s_mul_f32: (a, b) => wordOf(floatOf(a) * floatOf(b)),
  s_add_f32: (a, b) => wordOf(floatOf(a) + floatOf(b)),
  s_sub_f32: (a, b) => wordOf(floatOf(a) - floatOf(b)),
  s_max_num_f32: (a, b) => wordOf(Math.max(floatOf(a), floatOf(b))),
  s_min_num_f32: (a, b) => wordOf(Math.min(floatOf(a), floatOf(b))),
  v_s_rcp_f32: (a) => wordOf(1 / floatOf(a)),
  v_s_rsq_f32: (a) => wordOf(1 / Math.sqrt(floatOf(a))),
  v_s_sqrt_f32: (a) => wordOf(Math.sqrt(floatOf(a))),
  v_s_exp_f32: (a) => wordOf(2 ** floatOf(a)),
  v_s_log_f32: (a) => wordOf(Math.log2(floatOf(a))),
};

/** The effect of an instruction; null if the instruction is unknown. */
export function scalarCarry({ op, operands }: Instruction, lanes: number): Carry | null {
  const [d, a, b] = operands;
  const floats = OF_FLOATS[op];
  if (floats) return (w) => w.setWord(d, floats(w.word(a), w.word(b)));
  const words = WORDS[op];
  if (words)
    return (w) => {
      const [value, scc] = words(w.word(a), w.word(b), w.scc);
      w.setWord(d, value);
      if (scc !== undefined) w.scc = scc;
    };
  const one = ONE[op];
  if (one)
    return (w) => {
      const [value, scc] = one(w.word(a));
      w.setWord(d, value);
      if (scc !== undefined) w.scc = scc;
    };
  const compared = /^s_(cmpk?)_(\w\w)_([iu])(32|64)$/.exec(op);
  if (compared) return comparing(compared[2]!, compared[3] === "i", compared[4] === "64", d, a);
  const ofFloats = /^s_cmp_(n?)(lt|le|eq|gt|ge|lg)_f32$/.exec(op);
  if (ofFloats) {
    const compare = COMPARE[ofFloats[2]!]!;
    const wanted = ofFloats[1] === "";
    return (w) => void (w.scc = compare(floatOf(w.word(d)), floatOf(w.word(a))) === wanted ? 1 : 0);
  }
  const bit = /^s_bitcmp([01])_b32$/.exec(op)?.[1];
  if (bit !== undefined) return (w) => void (w.scc = ((w.word(d) >>> (w.word(a) & 31)) & 1) === Number(bit) ? 1 : 0);
  const logic = /^s_(\w+?)_b(32|64)$/.exec(op);
  const pair = logic?.[2] === "64";
  if (logic && LOGIC[logic[1]!]) return logical(LOGIC[logic[1]!]!, pair, d, a, b);
  const saving = /^s_(\w+)_saveexec_b(32|64)$/.exec(op);
  if (saving && LOGIC[saving[1]!]) return savingExec(LOGIC[saving[1]!]!, lanes === 64, d, a);
  return wide(op, d, a, b);
}

function comparing(
  how: string,
  withSign: boolean,
  pair: boolean,
  a: Operand | undefined,
  b: Operand | undefined,
): Carry | null {
  const compare = COMPARE[how];
  if (!compare) return null;
  if (pair)
    return (w) => {
      const same = w.word(a) === w.word(b) && w.word(a, 1) === w.word(b, 1);
      w.scc = same === (how === "eq") ? 1 : 0;
    };
  return withSign
    ? (w) => void (w.scc = compare(signed(w.word(a)), signed(w.word(b))) ? 1 : 0)
    : (w) => void (w.scc = compare(w.word(a), w.word(b)) ? 1 : 0);
}

const logical =
  (f: (a: number, b: number) => number, pair: boolean, d?: Operand, a?: Operand, b?: Operand): Carry =>
  (w) => {
    const [low, high] = [f(w.word(a), w.word(b)) >>> 0, pair ? f(w.word(a, 1), w.word(b, 1)) >>> 0 : 0];
    w.setWord(d, low);
    if (pair) w.setWord(d, high, 1);
    w.scc = low || high ? 1 : 0;
  };

/** The s_*_saveexec instructions: save the old mask, then combine it with the operand. */
const savingExec =
  (f: (a: number, b: number) => number, pair: boolean, d?: Operand, a?: Operand): Carry =>
  (w) => {
    const old = [w.scalar[EXEC]!, w.scalar[EXEC + 1]!];
    const low = f(w.word(a), old[0]!) >>> 0;
    const high = pair ? f(w.word(a, 1), old[1]!) >>> 0 : 0;
    w.setWord(d, old[0]!);
    if (pair) w.setWord(d, old[1]!, 1);
    w.scalar[EXEC] = low;
    w.scalar[EXEC + 1] = high;
    w.scc = low || high ? 1 : 0;
  };

function wide(op: string, d?: Operand, a?: Operand, b?: Operand): Carry | null {
  const set = (w: Wave, low: number, high: number): void => {
    w.setWord(d, low);
    w.setWord(d, high, 1);
  };
  switch (op) {
    case "s_mov_b64":
      return (w) => set(w, w.word(a), w.word(a, 1));
    case "s_not_b64":
      return (w) => {
        const [low, high] = [~w.word(a) >>> 0, ~w.word(a, 1) >>> 0];
        set(w, low, high);
        w.scc = low || high ? 1 : 0;
      };
    case "s_cselect_b32":
      return (w) => w.setWord(d, w.word(w.scc ? a : b));
    case "s_cselect_b64":
      return (w) => (w.scc ? set(w, w.word(a), w.word(a, 1)) : set(w, w.word(b), w.word(b, 1)));
    case "s_cmov_b32":
      return (w) => void (w.scc && w.setWord(d, w.word(a)));
    case "s_bfm_b64":
      return (w) => {
        const mask = ((1n << BigInt(w.word(a) & 63)) - 1n) << BigInt(w.word(b) & 63);
        set(w, Number(mask & 0xffffffffn), Number((mask >> 32n) & 0xffffffffn));
      };
    case "s_lshl_b64":
    case "s_lshr_b64":
      return (w) => {
        const value = (BigInt(w.word(a, 1)) << 32n) | BigInt(w.word(a));
        const shift = BigInt(w.word(b) & 63);
        const moved = op === "s_lshl_b64" ? value << shift : value >> shift;
        set(w, Number(moved & 0xffffffffn), Number((moved >> 32n) & 0xffffffffn));
        w.scc = w.word(d) || w.word(d, 1) ? 1 : 0;
      };
    case "s_bitreplicate_b64_b32":
      return (w) => {
        const value = w.word(a);
        const half = (from: number): number => {
          let r = 0;
          for (let i = 0; i < 16; i++) r |= ((value >>> (from + i)) & 1 ? 3 : 0) << (2 * i);
          return r >>> 0;
        };
        set(w, half(0), half(16));
      };
    case "s_bcnt1_i32_b64":
      return (w) => {
        const n = ones(w.word(a)) + ones(w.word(a, 1));
        w.setWord(d, n);
        w.scc = n ? 1 : 0;
      };
    case "s_ctz_i32_b64":
      return (w) => w.setWord(d, w.word(a) ? trailing(w.word(a)) : w.word(a, 1) ? 32 + trailing(w.word(a, 1)) : -1);
    case "s_clz_i32_u64":
      return (w) => w.setWord(d, w.word(a, 1) ? leading(w.word(a, 1)) : w.word(a) ? 32 + leading(w.word(a)) : -1);
    case "s_addk_i32":
      return (w) => w.setWord(d, w.word(d) + ((w.word(a) << 16) >> 16));
    case "s_mulk_i32":
      return (w) => w.setWord(d, Math.imul(w.word(d), (w.word(a) << 16) >> 16));
    case "s_bitset1_b32":
      return (w) => w.setWord(d, w.word(d) | (1 << (w.word(a) & 31)));
    case "s_bitset0_b32":
      return (w) => w.setWord(d, w.word(d) & ~(1 << (w.word(a) & 31)));
    default:
      return null;
  }
}
