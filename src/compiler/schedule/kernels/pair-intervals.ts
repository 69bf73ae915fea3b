// Which tiles of pairs a mask may show: its steps over intervals, from the least and the largest value of each operand
// in blocks of rows. A step without a rule here may be anything, so a tile is skipped only if no pair of it is seen.
import type { DType } from "../../../ground/base/dtype.js";
import type { Pair, PairStep } from "../../ir/pair.js";
import { stepWgsl } from "../../ops/pair-steps.js";
import { wgslLiteral, wgslType } from "../../ops/index.js";
import { FIRST_OPERAND, isPerHead } from "../../ops/pairs.js";
import { ROWS_OF_BOUNDS, type PairContext, type PairRows } from "./pair-rows.js";
import { typeAt, type KernelBuilder } from "./spec.js";

/** The operands whose bounds decide whether a tile is seen: those of the mask that are the same for all heads. */
export function boundedOperands({ attrs: { pair }, inputs }: PairContext): ReadonlySet<number> {
  const found = new Set<number>();
  if (pair.mask === null) return found;
  const seen = new Set<number>();
  const pending = [pair.mask];
  for (let n = pending.pop(); n !== undefined; n = pending.pop()) {
    if (seen.has(n)) continue;
    seen.add(n);
    const { op, args, of } = pair.steps[n]!;
    pending.push(...args);
    if (op === "operand" && hasBounds(pair, of!, isPerHead(pair.operands[of!]!, typeAt(inputs, FIRST_OPERAND + of!))))
      found.add(of!);
  }
  return found;
}

const hasBounds = (pair: Pair, operand: number, perHead: boolean): boolean => {
  const side = pair.operands[operand]!;
  return !perHead && (side === "query" || side === "key");
};

/** Declares `fn mayPair(firstQuery, lastQuery, firstKey, lastKey) -> bool`: whether the mask may show a pair of a tile. */
export function declareMayPair(
  kernel: KernelBuilder,
  rows: PairRows,
  { attrs: { pair } }: PairContext,
  bounded: ReadonlySet<number>,
): void {
  const { mask, steps } = pair;
  const parameters = "firstQuery: u32, lastQuery: u32, firstKey: u32, lastKey: u32";
  if (mask === null) {
    kernel.function(`fn mayPair(${parameters}) -> bool { return true; }`);
    return;
  }
  for (const operand of bounded)
    kernel.function(boundsText(rows, operand, pair.steps.find((s) => s.op === "operand" && s.of === operand)!.dtype));
  const lines: string[] = [];
  const known = new Map<number, boolean>();
  const visit = (n: number): boolean => {
    const before = known.get(n);
    if (before !== undefined) return before;
    const step = steps[n]!;
    const args = step.args.map(visit);
    const text = intervalOf(steps, step, args, pair, bounded);
    known.set(n, text !== null);
    if (text !== null) lines.push(`  let a${n} = ${text};`);
    return text !== null;
  };
  // An interval of bools is (may be true, must be true).
  const body = visit(mask) ? `${lines.join("\n")}\n  return a${mask}.x;` : "  return true;";
  const helpers = HELPERS.filter((f) => body.includes(`${f.name}(`));
  if (helpers.length > 0 || body.includes("range_any(")) kernel.function(WIDE);
  for (const f of helpers) kernel.function(f.text);
  kernel.function(`fn mayPair(${parameters}) -> bool {\n${body}\n}`);
}

/** `fn boundsN(first: u32, last: u32) -> vec2`: of the rows from first to last. */
function boundsText(rows: PairRows, operand: number, dtype: DType): string {
  const [low, high] = rows.bounds(operand);
  const type = dtype === "bool" ? "bool" : wgslType(dtype);
  const merged =
    dtype === "bool"
      ? "found = vec2<bool>(found.x || one.x, found.y && one.y);"
      : `found = vec2<${type}>(min(found.x, one.x), max(found.y, one.y));`;
  const one = dtype === "bool" ? `vec2<bool>(${high}, ${low})` : `vec2<${type}>(${low}, ${high})`;
  return `fn bounds${operand}(first: u32, last: u32) -> vec2<${type}> {
  var block = first / ${ROWS_OF_BOUNDS}u;
  var found = ${one};
  for (block += 1u; block <= last / ${ROWS_OF_BOUNDS}u; block++) {
    let one = ${one};
    ${merged}
  }
  return found;
}`;
}

/** The interval of a step as WGSL; null if it may be anything. `args`: whether each argument has an interval. */
function intervalOf(
  steps: readonly PairStep[],
  step: PairStep,
  args: readonly boolean[],
  pair: Pair,
  bounded: ReadonlySet<number>,
): string | null {
  const { op, dtype } = step;
  if (op === "operand") {
    if (!bounded.has(step.of!)) return null;
    return `bounds${step.of!}(${pair.operands[step.of!] === "query" ? "firstQuery, lastQuery" : "firstKey, lastKey"})`;
  }
  if (op === "position_q") return "vec2u(positionQ(firstQuery), positionQ(lastQuery))";
  if (op === "position_k") return "vec2u(positionK(firstKey), positionK(lastKey))";
  if (op === "number") {
    const x = wgslLiteral(step.value!, dtype);
    return Number.isNaN(step.value) || !Number.isFinite(step.value) ? null : `vec2<${wgslType(dtype)}>(${x})`;
  }
  const [a, b, c] = step.args.map((arg) => `a${arg}`);
  const of = (arg: number): DType => steps[step.args[arg]!]!.dtype;
  // One side of `and` and `or` suffices to say that a pair is not seen, or that it is.
  if (op === "and" && args.some((is) => !is))
    return args[0] ? `vec2<bool>(${a!}.x, false)` : args[1] ? `vec2<bool>(${b!}.x, false)` : null;
  if (op === "or" && args.some((is) => !is))
    return args[0] ? `vec2<bool>(true, ${a!}.y)` : args[1] ? `vec2<bool>(true, ${b!}.y)` : null;
  if (args.some((is) => !is)) return null;
  if (op === "and") return `vec2<bool>(${a!}.x && ${b!}.x, ${a!}.y && ${b!}.y)`;
  if (op === "or") return `vec2<bool>(${a!}.x || ${b!}.x, ${a!}.y || ${b!}.y)`;
  if (op === "not") return `vec2<bool>(!${a!}.y, !${a!}.x)`;
  if (op === "stop_gradient") return a!;
  if (op === "where" && dtype !== "bool") {
    const both = `vec2<${wgslType(dtype)}>(min(${b!}.x, ${c!}.x), max(${b!}.y, ${c!}.y))`;
    return `select(select(${both}, ${c!}, !${a!}.x), ${b!}, ${a!}.y)`;
  }
  if (op === "cast") return castOf(steps, step, a!);
  if (["eq", "ne", "lt", "le", "gt", "ge"].includes(op)) return of(0) === "bool" ? null : compared(op, a!, b!);
  if ((op === "min" || op === "max") && dtype !== "f32")
    return `vec2<${wgslType(dtype)}>(${op}(${a!}.x, ${b!}.x), ${op}(${a!}.y, ${b!}.y))`;
  const helper = HELPERS.find((h) => h.name === `range_${op}_${wgslType(dtype)}`);
  if (helper) return `${helper.name}(${[a, b].slice(0, step.args.length).join(", ")})`;
  if (!MONOTONE.has(op)) return null;
  const ends = [`${a!}.x`, `${a!}.y`].map((end) => stepWgsl(steps, step, [end]));
  return `select(vec2f(${ends.join(", ")}), range_any(), range_wide(${a!}))`;
}

/** Functions of floats that do not decrease. */
const MONOTONE: ReadonlySet<string> = new Set(["floor", "relu", "tanh", "sigmoid"]);

/** May: some pair of numbers of the intervals compares so; must: every pair does. */
function compared(op: string, a: string, b: string): string {
  switch (op) {
    case "eq":
      return `vec2<bool>(${a}.x <= ${b}.y && ${b}.x <= ${a}.y, ${a}.x == ${b}.y && ${b}.x == ${a}.y)`;
    case "ne":
      return `vec2<bool>(!(${a}.x == ${b}.y && ${b}.x == ${a}.y), ${a}.x > ${b}.y || ${b}.x > ${a}.y)`;
    case "lt":
      return `vec2<bool>(${a}.x < ${b}.y, ${a}.y < ${b}.x)`;
    case "le":
      return `vec2<bool>(${a}.x <= ${b}.y, ${a}.y <= ${b}.x)`;
    case "gt":
      return `vec2<bool>(${a}.y > ${b}.x, ${a}.x > ${b}.y)`;
    default:
      return `vec2<bool>(${a}.y >= ${b}.x, ${a}.x >= ${b}.y)`;
  }
}

/** Casts that keep the order of numbers, where no number leaves the range. */
function castOf(steps: readonly PairStep[], step: PairStep, a: string): string | null {
  const from = steps[step.args[0]!]!.dtype;
  const { dtype } = step;
  if (from === dtype) return a;
  if (dtype === "bool") return null;
  if (from === "bool") return `vec2<${wgslType(dtype)}>(${wgslType(dtype)}(${a}.y), ${wgslType(dtype)}(${a}.x))`;
  if (from === "u32" && dtype === "i32") return `range_signed(${a})`;
  if (from === "i32" && dtype === "u32") return `range_unsigned(${a})`;
  return `vec2<${wgslType(dtype)}>(${stepWgsl(steps, step, [`${a}.x`])}, ${stepWgsl(steps, step, [`${a}.y`])})`;
}

const ANY: Readonly<Record<string, string>> = {
  u32: "vec2u(0u, 0xffffffffu)",
  i32: "vec2i(bitcast<i32>(0x80000000u), 2147483647)",
};

/** The least and the largest product of two intervals. */
const PRODUCTS =
  "vec2(min(min(a.x * b.x, a.x * b.y), min(a.y * b.x, a.y * b.y)), " +
  "max(max(a.x * b.x, a.x * b.y), max(a.y * b.x, a.y * b.y)))";

/** Whole numbers wrap: where they might, the result may be anything. */
const WHOLE = (op: "add" | "sub" | "mul", type: "u32" | "i32"): string => {
  const small = type === "u32" ? "max(a.y, b.y)" : "max(max(abs(a.x), abs(a.y)), max(abs(b.x), abs(b.y)))";
  const limit = op === "mul" ? (type === "u32" ? "65535u" : "32767") : type === "u32" ? "0x7fffffffu" : "0x3fffffff";
  const below = type === "i32" ? ` && ${small} >= 0` : "";
  const fits = op === "sub" && type === "u32" ? "a.x >= b.y" : `${small} <= ${limit}${below}`;
  const value = {
    add: "a + b",
    sub: "vec2(a.x - b.y, a.y - b.x)",
    mul: type === "u32" ? "a * b" : PRODUCTS,
  }[op];
  return `fn range_${op}_${type}(a: vec2<${type}>, b: vec2<${type}>) -> vec2<${type}> {
  if (${fits}) { return ${value}; }
  return ${ANY[type]!};
}`;
};

/** Where an end is huge, the result may be anything: the ends of numbers with a NaN among them are infinite. */
const FLOAT = (op: "add" | "sub" | "mul" | "min" | "max", value: string): string =>
  `fn range_${op}_f32(a: vec2f, b: vec2f) -> vec2f {
  if (range_wide(a) || range_wide(b)) { return range_any(); }
  return ${value};
}`;

const WIDE = `fn range_wide(a: vec2f) -> bool { return !(max(abs(a.x), abs(a.y)) < 1e18); }
fn range_any() -> vec2f { return vec2f(modc_bits(0xff800000u), modc_bits(0x7f800000u)); }`;

const HELPERS: readonly { readonly name: string; readonly text: string }[] = [
  ...(["add", "sub", "mul"] as const).flatMap((op) =>
    (["u32", "i32"] as const).map((type) => ({ name: `range_${op}_${type}`, text: WHOLE(op, type) })),
  ),
  { name: "range_min_f32", text: FLOAT("min", "min(a, b)") },
  { name: "range_max_f32", text: FLOAT("max", "max(a, b)") },
  { name: "range_add_f32", text: FLOAT("add", "a + b") },
  { name: "range_sub_f32", text: FLOAT("sub", "vec2f(a.x - b.y, a.y - b.x)") },
  {
    name: "range_mul_f32",
    text: FLOAT("mul", PRODUCTS),
  },
  { name: "range_neg_f32", text: "fn range_neg_f32(a: vec2f) -> vec2f { return vec2f(-a.y, -a.x); }" },
  {
    name: "range_div_u32",
    text: `fn range_div_u32(a: vec2u, b: vec2u) -> vec2u {
  if (b.x == b.y && b.x > 0u) { return a / b; }
  return ${ANY.u32!};
}`,
  },
  {
    name: "range_signed",
    text: `fn range_signed(a: vec2u) -> vec2i {
  if (a.y <= 0x7fffffffu) { return vec2i(a); }
  return ${ANY.i32!};
}`,
  },
  {
    name: "range_unsigned",
    text: `fn range_unsigned(a: vec2i) -> vec2u {
  if (a.x >= 0) { return vec2u(a); }
  return ${ANY.u32!};
}`,
  },
  {
    name: "range_abs_f32",
    text: `fn range_abs_f32(a: vec2f) -> vec2f {
  if (a.x >= 0.0) { return a; }
  return vec2f(max(0.0, -a.y), max(-a.x, a.y));
}`,
  },
];
