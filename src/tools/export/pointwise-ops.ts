// Translates pointwise functions and conversions to PyTorch. Integers have 64 bits in PyTorch and are wrapped to 32
// bits, as in modc. Expressions over constants stay Python numbers.
import type { PointwiseName, Value } from "../../language/check/model.js";
import { axesOfSize } from "./outline.js";
import { refuse } from "./refused.js";
import { call, infix, is, type Scope, type Text } from "./text.js";

const SIGNS: Partial<Record<PointwiseName, string>> = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  eq: "==",
  ne: "!=",
  lt: "<",
  le: "<=",
  gt: ">",
  ge: ">=",
};
const CALLS: Partial<Record<PointwiseName, string>> = {
  exp: "torch.exp",
  log: "torch.log",
  sqrt: "torch.sqrt",
  rsqrt: "torch.rsqrt",
  abs: "torch.abs",
  sin: "torch.sin",
  cos: "torch.cos",
  tanh: "torch.tanh",
  sigmoid: "torch.sigmoid",
  relu: "torch.relu",
  silu: "F.silu",
  gelu: "F.gelu",
  softplus: "F.softplus",
  not: "torch.logical_not",
  where: "torch.where",
};
/** Functions whose results may exceed 32-bit integers. */
const WRAPPING: ReadonlySet<PointwiseName> = new Set(["add", "sub", "mul", "neg"]);

type Operands = Pick<Scope, "tight" | "loose">;

const isWhole = ({ type: { dtype } }: Value): boolean => dtype === "u32" || dtype === "i32";

/** Whether a value depends on numbers alone and is therefore a Python number. */
const isNumber = (value: Value): boolean =>
  value.op === "number" ||
  value.op === "live" ||
  (is(value, "length") && axesOfSize(value.attrs.size).length === 0) ||
  (["pointwise", "powi", "cast"].includes(value.op) && value.inputs.every(isNumber));

/** Wraps an integer to 32 bits. */
const wrapped = (value: Value, text: string): Text => call(`mt.${value.type.dtype}(${text})`);

export function pointwise(value: Value<"pointwise">, operands: Operands): Text {
  const { fn } = value.attrs;
  const args = value.inputs;
  if (WRAPPING.has(fn) && isWhole(value)) return wrapped(value, plain(value, operands).text);
  if (args.every(isNumber)) return ofNumbers(value, operands);
  if (fn === "min" || fn === "max") return extreme(fn, args, operands);
  return plain(value, operands);
}

function plain(value: Value<"pointwise">, { tight, loose }: Operands): Text {
  const { fn } = value.attrs;
  const args = value.inputs;
  if (fn === "and" || fn === "or") return infix(`${tight(args[0]!)} ${fn === "and" ? "&" : "|"} ${tight(args[1]!)}`);
  if (fn === "neg") return infix(`-${tight(args[0]!)}`);
  if (fn === "pow") return infix(`${tight(args[0]!)} ** ${tight(args[1]!)}`);
  if (fn === "gelu_tanh") return call(`F.gelu(${loose(args[0]!)}, approximate="tanh")`);
  const sign = SIGNS[fn];
  if (sign !== undefined) return infix(`${tight(args[0]!)} ${sign} ${tight(args[1]!)}`);
  const name = CALLS[fn];
  if (name === undefined) refuse(`the function ${fn}`, value);
  return call(`${name}(${args.map(loose).join(", ")})`);
}

/** Functions that Python's `math` has too, with a test for the arguments on which `math` does not raise an error. */
const OF_NUMBERS: Partial<Record<PointwiseName, (x: number) => boolean>> = {
  exp: (x) => x < 700,
  log: (x) => x > 0,
  sqrt: (x) => x >= 0,
  rsqrt: (x) => x > 0,
  sin: Number.isFinite,
  cos: Number.isFinite,
  tanh: () => true,
};

function ofNumbers(value: Value<"pointwise">, operands: Operands): Text {
  const { loose } = operands;
  const { fn } = value.attrs;
  const [x, y] = value.inputs;
  if (fn === "min" || fn === "max")
    return call(`mt.${fn === "max" ? "larger" : "smaller"}(${loose(x!)}, ${loose(y!)})`);
  if (fn === "neg" || (fn !== "div" && SIGNS[fn] !== undefined)) return plain(value, operands);
  if (fn === "div" && is(y!, "number") && y.attrs.value !== 0) return plain(value, operands);
  if (is(x!, "number") && OF_NUMBERS[fn]?.(x.attrs.value))
    return fn === "rsqrt" ? infix(`1 / math.sqrt(${loose(x)})`) : call(`math.${fn}(${loose(x)})`);
  // PyTorch returns a result where Python raises an error, e.g. for 1 / 0.
  const tensor = (v: Value): string => `mt.number(${loose(v)})`;
  return plain(value, { tight: tensor, loose: tensor });
}

/** The minimum or maximum of two tensors, or of a tensor and a number. */
function extreme(fn: "min" | "max", args: readonly Value[], { tight, loose }: Operands): Text {
  const number = args.findIndex(isNumber);
  if (number >= 0)
    return call(`${tight(args[1 - number]!)}.clamp(${fn === "min" ? "max" : "min"}=${loose(args[number]!)})`);
  return call(`torch.${fn}imum(${args.map(loose).join(", ")})`);
}

/** Float to integer conversion truncates and clamps to the range; NaN becomes 0. */
export function cast(value: Value<"cast">, { tight, loose }: Operands): Text {
  const [x] = value.inputs;
  const { dtype } = value.type;
  const from = x!.type.dtype;
  if (isNumber(x!)) {
    if (dtype === "f32") return call(`float(${loose(x!)})`);
    if (dtype === "bool") return infix(`${tight(x!)} != 0`);
    return isWhole(x!) || from === "bool" ? wrapped(value, loose(x!)) : call(`mt.${dtype}_of(mt.number(${loose(x!)}))`);
  }
  if (dtype === "f32") return call(`${tight(x!)}.float()`);
  if (dtype === "bool") return infix(`${tight(x!)} != 0`);
  if (dtype !== "u32" && dtype !== "i32") return refuse(`a conversion from ${from} to ${dtype}`, value);
  if (from === "bool") return call(`${tight(x!)}.to(torch.int64)`);
  return isWhole(x!) ? wrapped(value, loose(x!)) : call(`mt.${dtype}_of(${loose(x!)})`);
}
