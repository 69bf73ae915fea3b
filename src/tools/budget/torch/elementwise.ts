// Elementwise functions, conversions and reductions in PyTorch: their results, the tensors that autograd keeps, and the
// temporaries of their gradients. Follows derivatives.yaml of torch 2.6.
import type { PointwiseName } from "../../../language/check/model.js";
import { broadcast, isFloat, promoted, type Tensor, type TorchType } from "./tensor.js";
import type { Tape } from "./tape.js";
import { expand, reshape } from "./views.js";

/** The tensor that the gradient of a unary function reads: the operand, the result, or neither. */
const READS = {
  exp: "result",
  log: "operand",
  sqrt: "result",
  rsqrt: "result",
  abs: "operand",
  sin: "operand",
  cos: "operand",
  tanh: "result",
  sigmoid: "result",
  relu: "result",
  silu: "operand",
  gelu: "operand",
  gelu_tanh: "operand",
  softplus: "operand",
  neg: "nothing",
} as const satisfies Partial<Record<PointwiseName, "operand" | "result" | "nothing">>;
export type UnaryName = keyof typeof READS;

export const isUnary = (fn: PointwiseName): fn is UnaryName => Object.hasOwn(READS, fn);

/** Functions whose gradient is a single kernel with three operands. Other gradients compute a factor first. */
const FUSED: ReadonlySet<UnaryName> = new Set(["tanh", "sigmoid", "relu", "silu", "gelu", "gelu_tanh", "softplus"]);

export function unary(t: Tape, fn: UnaryName, x: Tensor): Tensor {
  const result = t.fresh(x.shape, x.type, x);
  const reads = READS[fn];
  const own = t.borrowed(x);
  return t.record({
    inputs: [x],
    outputs: [result],
    keeps: reads === "operand" ? [x] : reads === "result" ? [result] : [],
    backward: ([g]) => [
      FUSED.has(fn) || fn === "neg" || !g ? t.fresh(own.shape, own.type, own) : mul(t, g, like(t, own)),
    ],
  })[0]!;
}

/** A new tensor with the shape of x, which stays alive. */
export const like = (t: Tape, x: Tensor, type = x.type): Tensor => t.fresh(x.shape, type, x);

/** The result of an elementwise function with two operands. */
const paired = (t: Tape, a: Tensor, b: Tensor, type = promoted(a, b)): Tensor => {
  const shape = broadcast(a.shape, b.shape);
  const of = shape.length === a.shape.length && shape.every((size, i) => size === a.shape[i]) ? a : b;
  return t.fresh(shape, type, of);
};

export function add(t: Tape, a: Tensor, b: Tensor): Tensor {
  return t.record({ inputs: [a, b], outputs: [paired(t, a, b)], backward: ([g]) => [g!, g!] })[0]!;
}

export function sub(t: Tape, a: Tensor, b: Tensor): Tensor {
  return t.record({ inputs: [a, b], outputs: [paired(t, a, b)], backward: ([g]) => [g!, like(t, g!)] })[0]!;
}

export function mul(t: Tape, a: Tensor, b: Tensor): Tensor {
  const [x, y] = [t.borrowed(a), t.borrowed(b)];
  return t.record({
    inputs: [a, b],
    outputs: [paired(t, a, b)],
    keeps: [...(a.sink ? [b] : []), ...(b.sink ? [a] : [])],
    backward: ([g]) => [a.sink && mul(t, g!, y), b.sink && mul(t, g!, x)],
  })[0]!;
}

export function div(t: Tape, a: Tensor, b: Tensor): Tensor {
  const [x, y] = [t.borrowed(a), t.borrowed(b)];
  return t.record({
    inputs: [a, b],
    outputs: [paired(t, a, b)],
    keeps: [...(a.sink || b.sink ? [b] : []), ...(b.sink ? [a] : [])],
    backward: ([g]) => [a.sink && mul(t, g!, y), b.sink && mul(t, mul(t, g!, y), mul(t, x, y))],
  })[0]!;
}

/** An operation with a Python number. Autograd keeps no tensor for it. */
export function withNumber(t: Tape, x: Tensor, fn: "add" | "mul" | "div"): Tensor {
  const type = x.type === "i64" && fn === "div" ? "f32" : x.type;
  const result = t.fresh(x.shape, type, x);
  return t.record({
    inputs: [x],
    outputs: [result],
    backward: ([g]) => [fn === "add" ? g! : like(t, g!)],
  })[0]!;
}

/** A number divided by x; autograd keeps 1 / x. */
export const divided = (t: Tape, x: Tensor): Tensor => {
  const inverse = t.fresh(x.shape, x.type, x);
  const result = t.record({
    inputs: [x],
    outputs: [inverse],
    keeps: [inverse],
    backward: ([g]) => [mul(t, g!, mul(t, t.borrowed(inverse), t.borrowed(inverse)))],
  })[0]!;
  return withNumber(t, result, "mul");
};

/** `x ** n`: the gradient computes a power, and multiplies it by n. */
export function power(t: Tape, x: Tensor): Tensor {
  const own = t.borrowed(x);
  return t.record({
    inputs: [x],
    outputs: [like(t, x)],
    keeps: [x],
    backward: ([g]) => [mul(t, g!, withNumber(t, like(t, own), "mul"))],
  })[0]!;
}

/** `a ** b` for two tensors. */
export function powerOf(t: Tape, a: Tensor, b: Tensor): Tensor {
  const result = paired(t, a, b);
  const [x, y, z] = [a, b, result].map(t.borrowed) as [Tensor, Tensor, Tensor];
  return t.record({
    inputs: [a, b],
    outputs: [result],
    keeps: [a, b, ...(b.sink ? [result] : [])],
    backward: ([g]) => [a.sink && mul(t, g!, mul(t, y, like(t, x))), b.sink && mul(t, g!, mul(t, z, like(t, x)))],
  })[0]!;
}

/** A comparison, or a boolean function. */
export const compared = (t: Tape, ...inputs: readonly Tensor[]): Tensor => {
  const shape = inputs.map((x) => x.shape).reduce(broadcast);
  const result = t.fresh(shape, "bool");
  t.drop(...inputs);
  return result;
};

/** The minimum or maximum of two tensors; each gradient is masked. */
export function extreme(t: Tape, a: Tensor, b: Tensor): Tensor {
  const [x, y] = [t.borrowed(a), t.borrowed(b)];
  const masked = (g: Tensor): Tensor => {
    const holds = compared(t, x, y);
    return masking(t, g, holds);
  };
  return t.record({
    inputs: [a, b],
    outputs: [paired(t, a, b)],
    keeps: [a, b],
    backward: ([g]) => [a.sink && masked(g!), b.sink && masked(g!)],
  })[0]!;
}

/** `x.clamp` and other functions that keep the operand and mask the gradient. */
export function clamp(t: Tape, x: Tensor): Tensor {
  const own = t.borrowed(x);
  return t.record({
    inputs: [x],
    outputs: [like(t, x)],
    keeps: [x],
    backward: ([g]) => [masking(t, g!, compared(t, own))],
  })[0]!;
}

const masking = (t: Tape, g: Tensor, holds: Tensor): Tensor => {
  const result = like(t, g);
  t.drop(holds);
  return result;
};

/** `torch.where`; a number instead of a tensor has no gradient. */
export function where(t: Tape, holds: Tensor, a: Tensor | null, b: Tensor | null): Tensor {
  const chosen = [a, b].filter((x) => x !== null);
  const shape = [holds, ...chosen].map((x) => x.shape).reduce(broadcast);
  const type: TorchType = chosen.length === 2 ? promoted(a!, b!) : (chosen[0]?.type ?? "f32");
  const masked = (x: Tensor | null, g: Tensor | null | undefined): readonly (Tensor | null)[] =>
    x ? [x.sink && g ? like(t, g, g.type) : null] : [];
  return t.record({
    inputs: [holds, ...chosen],
    outputs: [t.fresh(shape, type)],
    keeps: [holds],
    backward: ([g]) => [null, ...masked(a, g), ...masked(b, g)],
  })[0]!;
}

/** `x.to(type)`; returns x itself if the type is the same. */
export function to(t: Tape, x: Tensor, type: TorchType): Tensor {
  if (x.type === type) return x;
  const result = like(t, x, type);
  if (!isFloat(type) || !isFloat(x.type)) {
    t.drop(x);
    return result;
  }
  return t.record({ inputs: [x], outputs: [result], backward: ([g]) => [g!] })[0]!;
}

/** The shape of x reduced over some dimensions. */
const reducedShape = (shape: readonly number[], dims: readonly number[], keep: boolean): readonly number[] =>
  shape.flatMap((size, i) => (dims.includes(i) ? (keep ? [1] : []) : [size]));

type Reduction = "sum" | "mean" | "amax" | "var";

export function reduced(t: Tape, fn: Reduction, x: Tensor, dims: readonly number[], keep: boolean): Tensor {
  const type = isFloat(x.type) ? x.type : "i64";
  const result = t.fresh(reducedShape(x.shape, dims, keep), type);
  const [own, kept] = [t.borrowed(x), reducedShape(x.shape, dims, true)];
  const spread = (g: Tensor): Tensor => expand(t, reshape(t, g, kept), own.shape);
  const backward = (g: Tensor): Tensor => {
    if (fn === "sum") return spread(g);
    if (fn === "mean") return withNumber(t, spread(g), "div");
    if (fn === "var") return mul(t, mul(t, spread(g), withNumber(t, own, "mul")), like(t, own));
    const holds = t.name(compared(t, own));
    return div(t, mul(t, spread(g), holds), t.fresh(kept, own.type));
  };
  return t.record({
    inputs: [x],
    outputs: [result],
    keeps: fn === "var" ? [x] : fn === "amax" ? [x, result] : [],
    backward: ([g]) => [backward(g!)],
  })[0]!;
}

/** `x.argmax`. */
export const argmax = (t: Tape, x: Tensor, dims: readonly number[], keep: boolean): Tensor => {
  const result = t.fresh(reducedShape(x.shape, dims, keep), "i64");
  t.drop(x);
  return result;
};

/** `x.softmax`: the gradient reads the result. */
export function softmax(t: Tape, x: Tensor): Tensor {
  const result = like(t, x);
  return t.record({ inputs: [x], outputs: [result], keeps: [result], backward: ([g]) => [like(t, g!)] })[0]!;
}
