// Effects of vector instructions on the registers of a subgroup.
import { EXEC, VCC, VECTOR, type Instruction, type Operand } from "../isa/instruction.js";
import type { Carry } from "./scalar.js";
import { COMPARES, FLOATS, FROM_FLOAT, INTEGERS, TO_FLOAT } from "./vector-ops.js";
import { scatteredFloat, type Wave } from "./wave.js";

type Words = (a: number, b: number, c: number) => number;

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** A lane's word of an operand. */
function read(operand: Operand | undefined): (w: Wave, lane: number) => number {
  if (operand?.kind === "register" && operand.at >= VECTOR && operand.at < VECTOR + 256) {
    const at = operand.at - VECTOR;
    return (w, lane) => w.vector[at]![lane]!;
  }
  return (w) => w.word(operand);
}

function readFloat(operand: Operand | undefined): (w: Wave, lane: number) => number {
  const from = read(operand);
  if (operand?.kind !== "register" && operand?.kind !== "constant") return () => 0;
  // An integer operand of a float operation is the bit pattern of the float.
  const [neg, abs] = operand.kind === "register" ? [operand.neg, operand.abs] : [false, false];
  return (w, lane) => {
    word[0] = from(w, lane);
    const x = abs ? Math.abs(float[0]!) : float[0]!;
    return neg ? -x : x;
  };
}

const target = (operand: Operand | undefined): number | null =>
  operand?.kind === "register" && operand.at >= VECTOR ? operand.at - VECTOR : null;

function perLane(d: number, compute: (w: Wave, lane: number) => number): Carry {
  return (w) => {
    const to = w.vector[d]!;
    if (w.whole) for (let lane = 0; lane < w.lanes; lane++) to[lane] = compute(w, lane);
    else for (let lane = 0; lane < w.lanes; lane++) if (w.takesPart(lane)) to[lane] = compute(w, lane);
  };
}

/** The effect of an instruction; null if the instruction is unknown. */
export function vectorCarry(instruction: Instruction): Carry | null {
  const own = oneCarry(instruction);
  if (!instruction.dual) return own;
  const other = oneCarry(instruction.dual);
  if (!own || !other) return null;
  // Both halves of a pair read their operands before either writes.
  const reads = (i: Instruction, of: Instruction): boolean => {
    const d = of.operands[0];
    return i.operands.slice(1).some((o) => o.kind === "register" && d?.kind === "register" && o.at === d.at);
  };
  const swapped = reads(instruction.dual, instruction);
  if (swapped && reads(instruction, instruction.dual)) return null;
  const [first, second] = swapped ? [other, own] : [own, other];
  return (w) => {
    first(w);
    second(w);
  };
}

/**
 * Arithmetic in f16, on matrix units and with scaled results is not computed: its results are random values, like the
 * results of other kernels.
 */
export const isDrawn = ({ op, dual }: Instruction): boolean =>
  dual === null && /wmma|_f16|_bf16|^v_dot\d|^v_pk_|_f32$/.test(op) && !op.startsWith("v_cmp");

export function drawnCarry({ operands: [d] }: Instruction): Carry | null {
  const first = target(d);
  if (first === null || d?.kind !== "register") return null;
  let drawn = 0;
  return (w) => {
    for (let r = first; r < first + d.words; r++)
      for (let lane = 0; lane < w.lanes; lane++) if (w.takesPart(lane)) w.floats[r]![lane] = scatteredFloat(drawn++);
  };
}

function oneCarry(instruction: Instruction): Carry | null {
  const { op, operands, modifiers } = instruction;
  const crossed = [...modifiers.keys()].find((m) => /^(quad_perm|row_|dpp8|wave_)/.test(m));
  if (crossed !== undefined) return dpp(instruction, crossed);
  const d = target(operands[0]);
  const compared = /^v_cmp(x?)_(\w+?)_([iuf])(16|32|64)$/.exec(op);
  if (compared) return comparing(instruction, compared);
  if (d !== null) {
    const [, a, b, c] = operands;
    const scaled = modifiers.has("clamp") || modifiers.has("mul") || modifiers.has("div");
    const integer = INTEGERS[op];
    if (integer && !scaled) return combined(d, integer, read, [a, b, c]);
    const plain = FLOATS[op];
    if (plain && !scaled) return combined(d, floated(plain), readFloat, [a, b, c]);
    const into = TO_FLOAT[op];
    if (into && !scaled) return combined(d, floated(into), read, [a]);
    const from = FROM_FLOAT[op];
    if (from) return combined(d, from, readFloat, [a]);
    if (/^v_(dual_)?(fmac|mac)_f32$/.test(op))
      return combined(
        d,
        floated((x, y, z) => x * y + z),
        readFloat,
        [a, b, operands[0]],
      );
  }
  return special(instruction, d);
}

const floated =
  (f: Words): Words =>
  (a, b, c) => {
    float[0] = f(a, b, c);
    return word[0]!;
  };

function combined(
  d: number,
  f: Words,
  reader: (o: Operand | undefined) => (w: Wave, lane: number) => number,
  [a, b, c]: readonly (Operand | undefined)[],
): Carry {
  const [x, y, z] = [reader(a), reader(b), reader(c)];
  return c
    ? perLane(d, (w, lane) => f(x(w, lane), y(w, lane), z(w, lane)))
    : b
      ? perLane(d, (w, lane) => f(x(w, lane), y(w, lane), 0))
      : perLane(d, (w, lane) => f(x(w, lane), 0, 0));
}

function comparing({ operands }: Instruction, [, x, how, type, bits]: RegExpExecArray): Carry | null {
  const compare = COMPARES[how!];
  if (!compare || bits !== "32") return null;
  // v_cmpx, and the short form in some disassemblies, have two operands and no destination.
  const [a, b] = operands.length === 2 ? operands : operands.slice(1);
  const d: Operand | undefined = operands.length === 2 ? undefined : operands[0];
  const reader = type === "f" ? readFloat : read;
  const [left, right] = [reader(a), reader(b)];
  const cast = type === "i" ? (n: number): number => n | 0 : (n: number): number => n;
  return (w) => {
    const found = [0, 0];
    for (let lane = 0; lane < w.lanes; lane++)
      if (w.takesPart(lane) && compare(cast(left(w, lane)), cast(right(w, lane))))
        found[lane >> 5]! |= 1 << (lane & 31);
    if (x === "x") {
      w.scalar[EXEC] = found[0]!;
      w.scalar[EXEC + 1] = found[1]!;
      return;
    }
    const to: Operand = d ?? { kind: "register", at: VCC, words: 2, neg: false, abs: false };
    w.setWord(to, found[0]!);
    if (w.lanes === 64) w.setWord(to, found[1]!, 1);
  };
}

const bit = (w: Wave, mask: Operand | undefined, lane: number): number => (w.word(mask, lane >> 5) >>> (lane & 31)) & 1;

function special({ op, operands, text }: Instruction, d: number | null): Carry | null {
  const [, a, b, c] = operands;
  const [x, y] = [read(a), read(b)];
  const signs = [a, b].some((o) => o?.kind === "register" && (o.neg || o.abs));
  switch (op) {
    case "v_cndmask_b32":
    case "v_dual_cndmask_b32": {
      if (d === null || signs) return null;
      const mask: Operand = c ?? { kind: "register", at: VCC, words: 2, neg: false, abs: false };
      return perLane(d, (w, lane) => (bit(w, mask, lane) ? y(w, lane) : x(w, lane)));
    }
    case "v_mbcnt_lo_u32_b32":
    case "v_mbcnt_hi_u32_b32": {
      if (d === null) return null;
      const high = op === "v_mbcnt_hi_u32_b32";
      return perLane(d, (w, lane) => {
        const below = high ? (lane < 32 ? 0 : 2 ** (lane - 32) - 1) : lane >= 32 ? 0xffffffff : 2 ** lane - 1;
        let [n, rest] = [0, (x(w, lane) & below) >>> 0];
        for (; rest; rest = (rest & (rest - 1)) >>> 0) n++;
        return n + y(w, lane);
      });
    }
    case "v_readfirstlane_b32":
      return (w) => {
        let lane = 0;
        while (lane < w.lanes && !w.takesPart(lane)) lane++;
        w.setWord(operands[0], x(w, lane === w.lanes ? 0 : lane));
      };
    case "v_readlane_b32":
      return (w) => w.setWord(operands[0], x(w, w.word(b) % w.lanes));
    case "v_writelane_b32":
      return d === null ? null : (w) => void (w.vector[d]![w.word(b) % w.lanes] = w.word(a));
    case "v_swap_b32": {
      const other = target(a);
      if (d === null || other === null) return null;
      return (w) => {
        const [one, two] = [w.vector[d]!, w.vector[other]!];
        for (let lane = 0; lane < w.lanes; lane++)
          if (w.takesPart(lane)) [one[lane], two[lane]] = [two[lane]!, one[lane]!];
      };
    }
    case "v_permlane64_b32":
      return d === null ? null : gathered(d, a, (lane) => lane ^ 32);
    case "v_permlane16_b32":
    case "v_permlanex16_b32": {
      if (d === null) return null;
      const other = op === "v_permlanex16_b32" ? 16 : 0;
      return gathered(d, a, (lane, w) => {
        const select = w.word(lane % 16 < 8 ? b : c);
        return ((lane & ~15) ^ other) + ((select >>> (4 * (lane % 8))) & 15);
      });
    }
    default:
      return carrying(op, operands, d, text);
  }
}

/** Additions and subtractions with a carry for each lane, and 64-bit products. */
function carrying(op: string, operands: readonly Operand[], d: number | null, text: string): Carry | null {
  const adding = /^v_(add|sub|subrev)_co_(ci_)?u32$/.exec(op);
  if (adding && d !== null) {
    const [, out, a, b, into] = operands;
    const [x, y] = [read(a), read(b)];
    const carryIn: Operand = into ?? { kind: "register", at: VCC, words: 2, neg: false, abs: false };
    return (w) => {
      const found = [0, 0];
      const results = new Uint32Array(w.lanes);
      for (let lane = 0; lane < w.lanes; lane++) {
        const more = adding[2] ? bit(w, carryIn, lane) : 0;
        const [l, r] = adding[1] === "subrev" ? [y(w, lane), x(w, lane)] : [x(w, lane), y(w, lane)];
        const sum = adding[1] === "add" ? l + r + more : l - r - more;
        results[lane] = sum;
        if ((sum < 0 || sum > 0xffffffff) && w.takesPart(lane)) found[lane >> 5]! |= 1 << (lane & 31);
      }
      for (let lane = 0; lane < w.lanes; lane++) if (w.takesPart(lane)) w.vector[d]![lane] = results[lane]!;
      w.setWord(out, found[0]!);
      if (w.lanes === 64) w.setWord(out, found[1]!, 1);
    };
  }
  if (op === "v_mad_u64_u32" && d !== null) {
    const [, , a, b, c] = operands;
    const [x, y] = [read(a), read(b)];
    const vector = c?.kind === "register" && c.at >= VECTOR ? c.at - VECTOR : null;
    return (w) => {
      for (let lane = 0; lane < w.lanes; lane++) {
        if (!w.takesPart(lane)) continue;
        const [low, high] =
          vector === null ? [w.word(c), w.word(c, 1)] : [w.vector[vector]![lane]!, w.vector[vector + 1]![lane]!];
        const sum = BigInt(x(w, lane)) * BigInt(y(w, lane)) + ((BigInt(high) << 32n) | BigInt(low));
        w.vector[d]![lane] = Number(sum & 0xffffffffn);
        w.vector[d + 1]![lane] = Number((sum >> 32n) & 0xffffffffn);
      }
    };
  }
  if ((op === "v_lshlrev_b64" || op === "v_lshrrev_b64") && d !== null) {
    const [, a, b] = operands;
    const [x, from] = [read(a), target(b)];
    if (from === null) return null;
    return (w) => {
      for (let lane = 0; lane < w.lanes; lane++) {
        if (!w.takesPart(lane)) continue;
        const value = (BigInt(w.vector[from + 1]![lane]!) << 32n) | BigInt(w.vector[from]![lane]!);
        const shift = BigInt(x(w, lane) & 63);
        const moved = op === "v_lshlrev_b64" ? value << shift : value >> shift;
        w.vector[d]![lane] = Number(moved & 0xffffffffn);
        w.vector[d + 1]![lane] = Number((moved >> 32n) & 0xffffffffn);
      }
    };
  }
  return text === "" ? () => {} : null;
}

/** Each lane reads the word of another lane. */
function gathered(d: number, a: Operand | undefined, from: (lane: number, w: Wave) => number): Carry {
  const x = read(a);
  return (w) => {
    const words = Uint32Array.from({ length: w.lanes }, (_, lane) => x(w, from(lane, w) % w.lanes));
    for (let lane = 0; lane < w.lanes; lane++) if (w.takesPart(lane)) w.vector[d]![lane] = words[lane]!;
  };
}

/** DPP instructions, whose first operand comes from other lanes of the row of 16. */
function dpp(instruction: Instruction, how: string): Carry | null {
  const value = instruction.modifiers.get(how)!;
  const numbers = value.replace(/[[\]]/g, "").split(",").map(Number);
  const from = laneOf(how, numbers);
  const [d, a, b, c] = instruction.operands;
  const to = target(d);
  const source = target(a);
  if (!from || to === null || source === null) return null;
  const accumulating = /^v_(fmac|mac)_f32$/.test(instruction.op) ? FLOATS["v_fma_f32"] : undefined;
  const integer = INTEGERS[instruction.op];
  const f = integer ?? FLOATS[instruction.op] ?? accumulating;
  if (!f) return null;
  const reader = integer ? read : readFloat;
  const [x, y, z] = [reader(a), reader(b), reader(accumulating ? d : c)];
  const bounded = instruction.modifiers.has("bound_ctrl");
  const compute = integer ?? floated(f);
  return (w) => {
    const words = Array.from({ length: w.lanes }, (_, lane) => {
      const other = from(lane);
      if (other === null) return bounded ? compute(0, y(w, lane), z(w, lane)) : null;
      return compute(x(w, other), y(w, lane), z(w, lane));
    });
    for (let lane = 0; lane < w.lanes; lane++)
      if (words[lane] !== null && w.takesPart(lane)) w.vector[to]![lane] = words[lane]!;
  };
}

/** The lane that a lane reads from; null beyond the row. */
function laneOf(how: string, numbers: readonly number[]): ((lane: number) => number | null) | null {
  const n = numbers[0]!;
  const inRow = (lane: number, at: number): number | null => (at < 0 || at > 15 ? null : (lane & ~15) + at);
  switch (how) {
    case "quad_perm":
      return (lane) => (lane & ~3) + numbers[lane & 3]!;
    case "dpp8":
      return (lane) => (lane & ~7) + numbers[lane & 7]!;
    case "row_shl":
      return (lane) => inRow(lane, (lane & 15) + n);
    case "row_shr":
      return (lane) => inRow(lane, (lane & 15) - n);
    case "row_ror":
      return (lane) => (lane & ~15) + (((lane & 15) - n) & 15);
    case "row_mirror":
      return (lane) => (lane & ~15) + 15 - (lane & 15);
    case "row_half_mirror":
      return (lane) => (lane & ~7) + 7 - (lane & 7);
    case "row_share":
      return (lane) => (lane & ~15) + n;
    case "row_xmask":
      return (lane) => lane ^ n;
    default:
      return null;
  }
}
