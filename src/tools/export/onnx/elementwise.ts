// Elementwise functions, casts and inputs in ONNX. Integers have 64 bits there and are wrapped to 32 bits, as in modc.
import type { DType } from "../../../ground/base/dtype.js";
import { isFloat, LARGEST } from "../../../ground/base/dtype.js";
import type { PointwiseName, Value } from "../../../language/check/model/model.js";
import type { Name } from "./graph.js";
import { refuse, broadcast, chosen, existing, scalar, type Scope } from "./scope.js";

type Emit = (cx: Scope, inputs: readonly Name[], dtype: DType) => Name;

const node =
  (op: string): Emit =>
  ({ graph }, inputs) =>
    graph.node(op, inputs);
const wrappedNode =
  (op: string): Emit =>
  (cx, inputs, dtype) =>
    wrapped(cx, cx.graph.node(op, inputs), dtype);

/** Wraps an integer to 32 bits. */
export function wrapped({ at, graph }: Scope, x: Name, dtype: DType): Name {
  const all = graph.int(2n ** 32n);
  if (dtype === "u32") return graph.node("Mod", [x, all]);
  if (dtype !== "i32") return x;
  const half = graph.int(2n ** 31n);
  return at.sub(graph.node("Mod", [at.add(x, half), all]), half);
}

const gelu: Emit = (cx, [x]) => {
  const { at, graph } = cx;
  const part = at.add(graph.node("Erf", [at.mul(x!, graph.float(Math.SQRT1_2))]), graph.float(1));
  return at.mul(at.mul(x!, graph.float(0.5)), part);
};

const geluTanh: Emit = ({ at, graph }, [x]) => {
  const cube = at.mul(at.mul(x!, x!), at.mul(x!, graph.float(0.044715)));
  const inner = at.mul(at.add(x!, cube), graph.float(Math.sqrt(2 / Math.PI)));
  return at.mul(at.mul(x!, graph.float(0.5)), at.add(graph.node("Tanh", [inner]), graph.float(1)));
};

/** Integer division by 0 returns the dividend, as in WGSL. */
const divide: Emit = (cx, [a, b], dtype) => {
  const { at, graph } = cx;
  if (isFloat(dtype)) return at.div(a!, b!);
  const divisor = at.where(at.equal(b!, graph.int(0)), graph.int(1), b!);
  return wrapped(cx, at.div(a!, divisor), dtype);
};

const POINTWISE: Readonly<Record<PointwiseName, Emit>> = {
  add: wrappedNode("Add"),
  sub: wrappedNode("Sub"),
  mul: wrappedNode("Mul"),
  div: divide,
  pow: node("Pow"),
  min: node("Min"),
  max: node("Max"),
  neg: wrappedNode("Neg"),
  exp: node("Exp"),
  log: node("Log"),
  sqrt: node("Sqrt"),
  rsqrt: ({ graph }, [x]) => graph.node("Reciprocal", [graph.node("Sqrt", [x!])]),
  abs: node("Abs"),
  sin: node("Sin"),
  cos: node("Cos"),
  tanh: node("Tanh"),
  sigmoid: node("Sigmoid"),
  relu: node("Relu"),
  silu: ({ at, graph }, [x]) => at.mul(x!, graph.node("Sigmoid", [x!])),
  gelu,
  gelu_tanh: geluTanh,
  softplus: node("Softplus"),
  floor: node("Floor"),
  eq: node("Equal"),
  ne: ({ at }, [a, b]) => at.not(at.equal(a!, b!)),
  lt: node("Less"),
  le: node("LessOrEqual"),
  gt: node("Greater"),
  ge: node("GreaterOrEqual"),
  and: node("And"),
  or: node("Or"),
  not: node("Not"),
  where: (cx, [condition, a, b], dtype) => chosen(cx, condition!, a!, b!, dtype),
};

function pointwise(cx: Scope, value: Value<"pointwise">): Name {
  const { fn } = value.attrs;
  return POINTWISE[fn](cx, value.inputs.map(cx.get), value.inputs.at(-1)!.type.dtype);
}

function powi(cx: Scope, value: Value<"powi">): Name {
  const { at, graph } = cx;
  const { exponent } = value.attrs;
  const { dtype } = value.type;
  const times = (a: Name, b: Name): Name => wrapped(cx, at.mul(a, b), dtype);
  let square = cx.get(value.inputs[0]!);
  let result: Name | null = null;
  for (let n = Math.abs(exponent); n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) result = result === null ? square : times(result, square);
    if (n > 1) square = times(square, square);
  }
  if (result === null) return broadcast(cx, scalar(cx, 1, dtype), [], value.type.shape);
  return exponent < 0 ? graph.node("Reciprocal", [result]) : result;
}

/** Converts between types. Float to integer conversion truncates and clamps to the range; NaN becomes 0. */
export function converted(cx: Scope, x: Name, from: DType, to: DType): Name {
  const { at, graph } = cx;
  if (from === to) return x;
  if (isFloat(to)) return isFloat(from) ? x : at.cast(x, "f32");
  if (to === "bool") return at.not(at.equal(x, scalar(cx, 0, from)));
  const low = to === "u32" ? 0n : -(2n ** 31n);
  if (!isFloat(from)) return from === "bool" ? at.cast(x, "i64") : wrapped(cx, x, to);
  const number = at.where(graph.node("IsNaN", [x]), graph.float(0), x);
  const bounded = at.min(at.max(number, graph.float(-(2 ** 33))), graph.float(2 ** 33));
  return at.min(at.max(at.cast(bounded, "i64"), graph.int(low)), graph.int(LARGEST[to]));
}

function length(cx: Scope, value: Value<"length">): Name {
  const { at, axes } = cx;
  const { dtype, shape } = value.type;
  const sizes = axes.ofEach();
  const size = isFloat(dtype)
    ? sizes.float(value.attrs.size)
    : converted(cx, sizes.whole(value.attrs.size), "i32", dtype);
  if (shape.length === 0) return at.squeeze(size, 0);
  const column = at.reshape(size, -1, ...shape.slice(1).map(() => 1));
  return cx.graph.node("Expand", [column, axes.dims(shape)]);
}

function live({ at, ...cx }: Scope, value: Value<"live">): Name {
  const { num, den } = cx.live(value.attrs.name);
  const part = (x: typeof num): Name => at.cast(typeof x === "bigint" ? cx.graph.ints(x) : x, "f32");
  return at.squeeze(at.div(part(num), part(den)), 0);
}

/** Row or class numbers in padding are replaced by 0. A negative u32 input wraps to a value beyond every table. */
function input(cx: Scope, { attrs: { name }, type }: Value<"input">): Name {
  const x = cx.input(name);
  return cx.isIndex(name) ? existing(cx, type, type.dtype === "u32" ? wrapped(cx, x, "u32") : x) : x;
}

export const elementwiseEmitters = {
  input,
  weight: (cx: Scope, value: Value<"weight">): Name => cx.weight(value.attrs.path),
  state: (cx: Scope, value: Value<"state">): Name => cx.weight(value.attrs.path),
  live,
  number: (cx: Scope, value: Value<"number">): Name => scalar(cx, value.attrs.value, value.type.dtype),
  literal: (cx: Scope, value: Value<"literal">): Name =>
    cx.graph.constant("f32", value.type.shape.map(Number), value.attrs.values),
  length,
  pointwise,
  powi,
  cast: (cx: Scope, value: Value<"cast">): Name =>
    converted(cx, cx.get(value.inputs[0]!), value.inputs[0]!.type.dtype, value.type.dtype),
  straight: (cx: Scope, value: Value<"straight">): Name =>
    converted(cx, cx.get(value.inputs[0]!), value.inputs[0]!.type.dtype, value.type.dtype),
  stop_gradient: (cx: Scope, value: Value<"stop_gradient">): Name => cx.get(value.inputs[0]!),
  zeros: (cx: Scope, value: Value<"zeros">): Name =>
    cx.graph.node("Expand", [scalar(cx, 0, value.type.dtype), cx.axes.dims(value.type.shape)]),
  dropout: (_: Scope, value: Value<"dropout">): Name => refuse("dropout", value.path),
  random_normal: (_: Scope, value: Value<"random_normal">): Name => refuse("a random value", value.path),
  random_uniform: (_: Scope, value: Value<"random_uniform">): Name => refuse("a random value", value.path),
};
