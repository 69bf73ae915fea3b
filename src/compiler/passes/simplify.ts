// Algebraic simplification of constants and no-ops. Every rule preserves all bits of each element, including −0,
// infinities and the order of sums.
import { isOp, typeOf, type Node, type Graph } from "../ir/graph.js";
import { equalShapes, equalTypes } from "../ir/typing.js";
import { isFloat, type DType } from "../../ground/base/dtype.js";
import { equalSizes, type Size } from "../../ground/size/size.js";
import { any, commuted, of, op, rewrite, rule, type Rule, type Trace } from "./rewrite.js";
import { bug } from "../../ground/base/invariant.js";
import type { OpName } from "../ir/vocabulary.js";
import type { EvaluateContext, Tensor } from "../ops/define.js";
import { ops } from "../ops/index.js";

const pointwise = (Object.keys(ops) as OpName[]).filter((name) => ops[name].lower.kind === "pointwise");

/** Folds an operator on constants if the value is finite, since WGSL has no literals for other values. */
const foldConstants: Rule = {
  name: "fold-constants",
  at: pointwise,
  rewrite(root, emit) {
    if (root.inputs.length === 0 || !root.inputs.every((n) => isOp(n, "constant"))) return null;
    const value = evaluateScalar(root);
    const { dtype, shape } = typeOf(root);
    return Number.isFinite(value) ? emit("constant", [], { value, dtype, shape }) : null;
  },
};

function evaluateScalar<K extends OpName>(node: Node<K>): number {
  const inputs = node.inputs.map((n): Tensor => ({
    dtype: typeOf(n).dtype,
    shape: [],
    data: Float64Array.of((n as Node<"constant">).attrs.value),
  }));
  return ops[node.op].evaluate(inputs, node.attrs, NOTHING)[0]!.data[0]!;
}

const unasked = (): never => {
  bug("a pointwise operator asks for more than its inputs");
};
const NOTHING: EvaluateContext = {
  axes: [],
  sizes: { batch: 1, sequence: unasked, rational: unasked, number: unasked },
  live: new Map(),
  seed: 0,
  source: unasked,
  forced: unasked,
  forcedEntries: unasked,
};

/** pointwise(broadcast(x), y) → pointwise(x, y) if y alone determines the shape. */
const dropBroadcasts: Rule = {
  name: "broadcast-of-operand",
  at: pointwise,
  rewrite(root, emit) {
    for (let i = 0; i < root.inputs.length; i++) {
      const input = root.inputs[i]!;
      if (!isOp(input, "broadcast")) continue;
      const result = emit(
        root.op,
        root.inputs.map((n, j) => (j === i ? input.inputs[0] : n)),
        root.attrs,
      );
      if (equalTypes(typeOf(result), typeOf(root))) return result;
    }
    return null;
  },
};

const x = any("x");
const constant = of("constant", "c");

const sameShape = (a: Node, b: Node): boolean => equalShapes(typeOf(a).shape, typeOf(b).shape);
const isIdentity = (order: readonly number[]): boolean => order.every((d, i) => d === i);

/** [0, …, n − 1, n − 2] */
const swapsLastTwo = (order: readonly number[]): boolean => {
  const n = order.length;
  return n >= 2 && order.every((d, i) => d === (i === n - 1 ? n - 2 : i === n - 2 ? n - 1 : i));
};

/** Whether a cast is lossless: every value of `from` is a value of `to`. */
const isExact = (from: DType, to: DType): boolean => from === to || from === "bool" || (from === "f16" && to === "f32");

const reshapes: readonly Rule[] = [
  rule("reshape-of-reshape", {
    match: op("reshape", [op("reshape", [x])]),
    build: ({ x }, emit, root) => emit("reshape", [x], root.attrs),
  }),
  rule("reshape-to-itself", {
    match: op("reshape", [x]),
    when: ({ x }, root) => sameShape(x, root),
    build: ({ x }) => x,
  }),
  rule("reshape-of-constant", {
    match: op("reshape", [constant]),
    build: ({ c }, emit, root) => emit("constant", [], { ...c.attrs, shape: root.attrs.shape }),
  }),
  rule("broadcast-to-itself", {
    match: op("broadcast", [x]),
    when: ({ x }, root) => sameShape(x, root),
    build: ({ x }) => x,
  }),
  rule("broadcast-of-broadcast", {
    match: op("broadcast", [op("broadcast", [x])]),
    build: ({ x }, emit, root) => emit("broadcast", [x], root.attrs),
  }),
  rule("scaled-broadcast", {
    // Multiply before broadcasting: fewer elements.
    match: commuted("mul", op("broadcast", [x], "spread"), constant),
    when: ({ c, spread }, root) => c.attrs.shape.length === 0 && sameShape(spread, root),
    build: ({ x, c, spread }, emit) => emit("broadcast", [emit("mul", [x, c], {})], spread.attrs),
  }),
  rule("broadcast-of-constant", {
    match: op("broadcast", [constant]),
    build: ({ c }, emit, root) => emit("constant", [], { ...c.attrs, shape: root.attrs.shape }),
  }),
];

const permutes: readonly Rule[] = [
  rule("permute-identity", {
    match: op("permute", [x]),
    when: (_, root) => isIdentity(root.attrs.order),
    build: ({ x }) => x,
  }),
  rule("permute-of-permute", {
    match: op("permute", [op("permute", [x], "inner")]),
    build: ({ x, inner }, emit, root) =>
      emit("permute", [x], { order: root.attrs.order.map((d) => inner.attrs.order[d]!) }),
  }),
  rule("permute-of-ones", {
    // Permuting dimensions of size 1 moves nothing in memory.
    match: op("permute", [x]),
    when: ({ x }, root) => {
      const moved = root.attrs.order.filter((d) => typeOf(x).shape[d] !== 1);
      return moved.every((d, i) => i === 0 || moved[i - 1]! < d);
    },
    build: ({ x }, emit, root) => emit("reshape", [x], { shape: typeOf(root).shape }),
  }),
  rule("matmul-of-transposed", {
    match: op("matmul", [any("a"), op("permute", [any("b")], "p")]),
    when: ({ p }) => swapsLastTwo(p.attrs.order),
    build: ({ a, b }, emit, root) => emit("matmul", [a, b], { transposed: !root.attrs.transposed }),
  }),
  {
    name: "permute-of-contract",
    at: ["permute"],
    // (aᵀ·b)ᵀ = bᵀ·a, also for sums of such products, which occur as the gradients of a weight with several readers.
    rewrite(root, emit) {
      if (!isOp(root, "permute") || !swapsLastTwo(root.attrs.order)) return null;
      const parts = addends(root.inputs[0]);
      if (!parts.every((p) => isOp(p, "contract"))) return null;
      return parts
        .map((p): Node => emit("contract", [p.inputs[1], p.inputs[0]], {}))
        .reduce((sum, p) => emit("add", [sum, p], {}));
    },
  },
  rule("matmul-of-turned-vector", {
    match: op("matmul", [any("a"), op("reshape", [any("b")], "turned")]),
    when: ({ b, turned }, root) => !root.attrs.transposed && turnsVector(typeOf(b).shape, turned.attrs.shape),
    build: ({ a, b }, emit) => emit("matmul", [a, b], { transposed: true }),
  }),
];

/** The operands of a left-associated chain of additions, in order. */
function addends(node: Node): readonly Node[] {
  const found: Node[] = [];
  let at = node;
  for (; isOp(at, "add"); at = at.inputs[0]!) found.push(at.inputs[1]);
  return [at, ...found.toReversed()];
}

/**
 * Whether a permutation only changes [K, 1] into [1, K] or back and keeps leading dimensions, which moves nothing in
 * memory.
 */
const turnsVector = (from: readonly Size[], to: readonly Size[]): boolean => {
  const n = from.length;
  return (
    n >= 2 &&
    n === to.length &&
    (from[n - 1] === 1 || from[n - 2] === 1) &&
    equalShapes(to, [...from.slice(0, -2), from[n - 1]!, from[n - 2]!])
  );
};

const isNumber = (c: Node<"constant">, value: number): boolean => Object.is(c.attrs.value, value);
const isZero = (c: Node<"constant">): boolean => c.attrs.value === 0;

const arithmetic: readonly Rule[] = [
  rule("times-one", {
    match: commuted("mul", x, constant),
    when: ({ x, c }, root) => isNumber(c, 1) && sameShape(x, root),
    build: ({ x }) => x,
  }),
  rule("divided-by-one", {
    match: op("div", [x, constant]),
    when: ({ x, c }, root) => isNumber(c, 1) && sameShape(x, root),
    build: ({ x }) => x,
  }),
  rule("plus-zero", {
    // −0 + 0 is 0, so only the addition of −0 can be dropped for floats.
    match: commuted("add", x, constant),
    when: ({ x, c }, root) => (isFloat(c.attrs.dtype) ? isNumber(c, -0) : isZero(c)) && sameShape(x, root),
    build: ({ x }) => x,
  }),
  rule("minus-zero", {
    match: op("sub", [x, constant]),
    when: ({ x, c }, root) => (isFloat(c.attrs.dtype) ? isNumber(c, 0) : isZero(c)) && sameShape(x, root),
    build: ({ x }) => x,
  }),
  rule("power-of-one", { match: op("powi", [x]), when: (_, root) => root.attrs.exponent === 1, build: ({ x }) => x }),
  rule("negated-twice", { match: op("neg", [op("neg", [x])]), build: ({ x }) => x }),
  rule("not-not", { match: op("not", [op("not", [x])]), build: ({ x }) => x }),
  rule("where-constant", {
    match: op("where", [constant, any("a"), any("b")]),
    when: ({ c, a, b }, root) => sameShape(c.attrs.value !== 0 ? a : b, root),
    build: ({ c, a, b }) => (c.attrs.value !== 0 ? a : b),
  }),
  rule("cast-to-itself", {
    match: op("cast", [x]),
    when: ({ x }, root) => typeOf(x).dtype === root.attrs.dtype,
    build: ({ x }) => x,
  }),
  rule("cast-of-exact-cast", {
    match: op("cast", [op("cast", [x], "inner")]),
    when: ({ x, inner }) => isExact(typeOf(x).dtype, inner.attrs.dtype),
    build: ({ x }, emit, root) => emit("cast", [x], root.attrs),
  }),
];

const structure: readonly Rule[] = [
  rule("stop-gradient", { match: op("stop_gradient", [x]), build: ({ x }) => x }),
  rule("straight", { match: op("straight", [x, any("soft")]), build: ({ x }) => x }),
  rule("slice-of-all", {
    match: op("slice", [x]),
    when: ({ x }, { attrs: { axis, start, stop } }) => start === 0 && equalSizes(typeOf(x).shape[axis]!, stop),
    build: ({ x }) => x,
  }),
  rule("slice-of-slice", {
    match: op("slice", [op("slice", [x], "inner")]),
    when: ({ inner }, root) => inner.attrs.axis === root.attrs.axis,
    build: ({ x, inner }, emit, { attrs: { axis, start, stop } }) =>
      emit("slice", [x], { axis, start: inner.attrs.start + start, stop: inner.attrs.start + stop }),
  }),
  {
    // A true mask as a number exceeds one half; NaN exceeds nothing in either form.
    name: "above-of-comparison",
    at: ["above"],
    rewrite(root, emit) {
      if (!isOp(root, "above")) return null;
      const [score, half, starts] = root.inputs;
      if (!isOp(score, "cast") || !isOp(half, "constant") || half.attrs.value !== 0.5) return null;
      const [compared] = score.inputs;
      if (!isOp(compared, "gt") && !isOp(compared, "lt")) return null;
      const [x, threshold] = isOp(compared, "gt") ? compared.inputs : [compared.inputs[1], compared.inputs[0]];
      const isThreshold = typeOf(threshold).shape.length === 0 || sameShape(threshold, x);
      return typeOf(x).dtype === "f32" && sameShape(x, score) && isThreshold
        ? emit("above", [x, threshold, starts], root.attrs)
        : null;
    },
  },
  rule("concat-of-one", { match: op("concat", [x]), build: ({ x }) => x }),
  rule("pack-of-unpack", {
    match: op("pack", [op("unpack", [x, any("starts")], "inner"), any("starts")]),
    when: ({ inner }, root) => inner.attrs.dim === root.attrs.dim,
    build: ({ x }) => x,
  }),
  rule("mask-of-unpack", {
    // `unpack` already pads with zeros.
    match: op("mask", [op("unpack", [x, any("starts")], "inner"), any("starts")]),
    when: ({ inner }, root) => isNumberZero(root.attrs.fill) && root.attrs.dim === inner.attrs.dim + 1,
    build: ({ inner }) => inner,
  }),
  rule("mask-of-mask", {
    match: op("mask", [op("mask", [x, any("starts")], "inner"), any("starts")]),
    when: ({ inner }, root) => Object.is(inner.attrs.fill, root.attrs.fill) && inner.attrs.dim === root.attrs.dim,
    build: ({ inner }) => inner,
  }),
];

const isNumberZero = (value: number): boolean => Object.is(value, 0);

/** The rules, in the order in which they are tried at a node. */
export const simplifyRules: readonly Rule[] = [
  ...reshapes,
  ...permutes,
  ...arithmetic,
  ...structure,
  foldConstants,
  dropBroadcasts,
];

export const simplify = (graph: Graph, trace: Trace | null): Graph => rewrite(graph, simplifyRules, trace);
