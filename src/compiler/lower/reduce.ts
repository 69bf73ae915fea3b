// Lowers reductions and softmax. Along sequence dimensions only existing tokens count.
import type { LogicalType, Value } from "../../language/check/model/model.js";
import { invariant } from "../../ground/base/invariant.js";
import { typeOf, type Node } from "../ir/graph.js";
import { knownOnHost } from "../../ground/size/axes.js";
import { multiplySizes, rowsSize, type Size } from "../../ground/size/size.js";
import type { Lowering, Placed } from "./context.js";
import { alignedOperand, fromPadded, highest, lowest, masked, padded } from "./convert.js";
import { storedShape } from "./layout.js";

/** A value in the form in which it is reduced, with operations that depend on which elements exist. */
export interface ReducedForm {
  readonly node: Node;
  /** The reduced dimensions of `node`. */
  readonly axes: readonly number[];
  /** Replaces padding elements by `fill`. */
  mask(node: Node, fill: number): Node;
  /**
   * The number of elements reduced into each result, f32, in a shape that broadcasts against results with reduced
   * dimensions kept.
   */
  count(): Node;
  /** Whether that number may be 0. */
  readonly mayBeEmpty: boolean;
}

/**
 * Converts `value` to the form in which it is reduced over the logical dimensions `axes`. The checker ensures that the
 * batch is reduced only together with every sequence.
 */
export function spaceOf(cx: Lowering, value: Placed, axes: readonly number[]): ReducedForm {
  const { shape } = value.type;
  const overBatch = cx.axes.hasBatch(shape) && axes.includes(0);
  const sequences = cx.axes.sequenceDims(shape);
  const overTokens = sequences.filter((d) => axes.includes(d));
  invariant(!overBatch || overTokens.length === sequences.length, "a reduction over the batch leaves a sequence");
  const rest = axes
    .filter((d) => !overTokens.includes(d) && !(overBatch && d === 0))
    .reduce((n: Size, d) => multiplySizes(n, shape[d]!), 1);
  if (value.packing && overBatch === overTokens.length > 0) {
    const { axis } = value.packing;
    return {
      node: value.node,
      axes: axes.filter((d) => d > 0).map((d) => d - 1),
      mask: (node) => node,
      count: () => (overBatch ? rowCount(cx, axis, rest) : cx.size(rest, "f32")),
      mayBeEmpty: overBatch,
    };
  }
  return {
    node: padded(cx, value),
    axes,
    mask: (node, fill) => masked(cx, node, shape, overTokens, fill),
    count: () =>
      overTokens.length > 0
        ? countPadded(cx, shape, overBatch, overTokens, rest)
        : cx.size(
            axes.reduce((n: Size, d) => multiplySizes(n, shape[d]!), 1),
            "f32",
          ),
    mayBeEmpty: overTokens.length > 0,
  };
}

/** Restricts a reduced form to the elements marked as existing by further inputs; possibly no element exists. */
function amongExisting(
  cx: Lowering,
  value: Value<"reduce"> | Value<"softmax">,
  input: Placed,
  space: ReducedForm,
): ReducedForm {
  const [, ...others] = value.inputs;
  if (others.length === 0) return space;
  const { shape } = typeOf(space.node);
  const rank = input.type.shape.length;
  const packing = shape.length < rank ? input.packing : null;
  const exists = others
    .map((other) => alignedOperand(cx, cx.get(other), rank, packing))
    .reduce((a, b) => cx.emit("and", [a, b], {}));
  const broadcastMask = cx.broadcast(exists, shape);
  const ones = cx.cast(broadcastMask, "f32");
  return {
    node: space.node,
    axes: space.axes,
    // Padding has no entries, so no further mask is needed.
    mask: (node, fill) => cx.algebra(node).where(broadcastMask, node, fill),
    count: () => cx.emit("sum", [ones], { axes: space.axes, keep: true }),
    mayBeEmpty: true,
  };
}

/** The number of rows of all sequences, times `rest`, f32[]. */
function rowCount(cx: Lowering, axis: string, rest: Size): Node {
  if (knownOnHost(cx.axes.all, axis)) return cx.size(multiplySizes(rowsSize(axis), rest), "f32");
  const rows = cx.emit("sum", [cx.emit("cast", [cx.counts(axis)], { dtype: "f32" })], { axes: [0], keep: false });
  return rest === 1 ? rows : cx.emit("mul", [rows, cx.size(rest, "f32")], {});
}

/**
 * The product of `rest` and the counts along the sequence dimensions `ragged`: f32[B, 1, …], summed over the batch if
 * that is reduced too.
 */
function countPadded(
  cx: Lowering,
  shape: readonly Size[],
  overBatch: boolean,
  ragged: readonly number[],
  rest: Size,
): Node {
  const counts = ragged.map((d) => cx.emit("cast", [cx.counts(cx.axes.sequenceOf(shape[d])!)], { dtype: "f32" }));
  const factors = rest === 1 ? counts : [...counts, cx.size(rest, "f32")];
  const product = cx.reshape(
    factors.reduce((a, b) => cx.emit("mul", [a, b], {})),
    shape.map((s, i) => (i === 0 ? s : 1)),
  );
  return overBatch ? cx.emit("sum", [product], { axes: [0], keep: true }) : product;
}

/** Sum of the existing elements, reduced dimensions kept. */
const sumKeepingDims = (cx: Lowering, space: ReducedForm, node: Node): Node =>
  cx.emit("sum", [space.mask(node, 0)], { axes: space.axes, keep: true });

/** Mean of the existing elements, reduced dimensions kept; 0 if there are none. */
function meanKeepingDims(cx: Lowering, space: ReducedForm, node: Node): Node {
  const count = space.count();
  const m = cx.algebra(count);
  return m.div(sumKeepingDims(cx, space, node), space.mayBeEmpty ? m.max(count, 1) : count);
}

function lowerReduce(cx: Lowering, value: Value<"reduce">): Placed {
  const { fn, axes } = value.attrs;
  const input = cx.get(value.inputs[0]);
  if (axes.length === 0 && fn !== "argmax") return withoutAxes(cx, input, value);
  const space = amongExisting(cx, value, input, spaceOf(cx, input, axes));
  // Means are computed in f32: f16 cannot represent the number of elements exactly.
  const x =
    fn === "mean" || fn === "var"
      ? cx.cast(space.node, "f32")
      : fn === "sum"
        ? cx.cast(space.node, value.type.dtype)
        : space.node;
  const { dtype } = typeOf(x);
  const reduced = ((): Node => {
    switch (fn) {
      case "sum":
        return sumKeepingDims(cx, space, x);
      case "mean":
        return meanKeepingDims(cx, space, x);
      case "var": {
        const m = cx.algebra(x);
        const apart = m.sub(x, meanKeepingDims(cx, space, x));
        return meanKeepingDims(cx, space, m.mul(apart, apart));
      }
      case "max":
        return existing(
          cx,
          space,
          cx.emit("reduce_max", [space.mask(x, lowest(dtype))], { axes: space.axes, keep: true }),
        );
      case "min":
        return existing(
          cx,
          space,
          cx.emit("reduce_min", [space.mask(x, highest(dtype))], { axes: space.axes, keep: true }),
        );
      case "argmax": {
        const [axis] = space.axes;
        invariant(axis !== undefined, "argmax over no axis");
        // argmax takes the first of equal maxima. Padding comes last, so an existing token is found first even if it
        // has the lowest value.
        return cx.emit("argmax", [space.mask(x, lowest(dtype))], { axis, keep: true });
      }
      default:
        return fn satisfies never;
    }
  })();
  return fromReducedForm(cx, cx.cast(reduced, value.type.dtype), input, value.type);
}

/** The maximum of no tokens is 0, like all values beyond the end of a sequence. */
function existing(cx: Lowering, space: ReducedForm, node: Node): Node {
  if (!space.mayBeEmpty) return node;
  const count = space.count();
  return cx.algebra(node).where(cx.algebra(count).gt(count, 0), node, 0);
}

/** Converts a result from the reduced form, dimensions kept, to the form that its type requires. */
function fromReducedForm(cx: Lowering, node: Node, input: Placed, type: LogicalType): Placed {
  const packing = cx.axes.packingOf(type);
  if (input.packing && packing) return { node: cx.reshape(node, storedShape(type, packing)), type, packing };
  return fromPadded(cx, cx.reshape(node, type.shape), type);
}

function withoutAxes(cx: Lowering, input: Placed, value: Value<"reduce">): Placed {
  const node = cx.cast(input.node, value.type.dtype);
  const zero = value.attrs.fn === "var";
  return { ...input, node: zero ? cx.emit("sub", [node, node], {}) : node, type: value.type };
}

/** Mean over all existing f32 values, or only over values at which `valid` holds: f32[]. The mean of no values is 0. */
export function meanOfAll(cx: Lowering, value: Placed, valid: Placed | null): Node {
  const axes = value.type.shape.map((_, i) => i);
  if (axes.length === 0 && !valid) return value.node;
  const space = spaceOf(cx, value, axes);
  const total = (s: ReducedForm): Node =>
    s.axes.length === 0 ? s.node : cx.emit("sum", [s.mask(s.node, 0)], { axes: s.axes, keep: false });
  const count = valid
    ? total(spaceOf(cx, { ...valid, node: cx.cast(valid.node, "f32") }, axes))
    : cx.reshape(space.count(), []);
  const m = cx.algebra(count);
  return m.div(total(space), valid !== null || space.mayBeEmpty ? m.max(count, 1) : count);
}

function lowerSoftmax(cx: Lowering, value: Value<"softmax">): Placed {
  const input = cx.get(value.inputs[0]);
  const { axis } = value.attrs;
  const overTokens = cx.axes.sequenceOf(input.type.shape[axis]) !== null;
  if (value.inputs.length > 1) {
    // A softmax along the entries of a token.
    const space = amongExisting(cx, value, input, spaceOf(cx, input, [axis]));
    const [along] = space.axes;
    invariant(along !== undefined, "softmax over no axis");
    const soft = cx.emit("softmax", [space.mask(space.node, lowest(input.type.dtype))], { axis: along });
    return { ...input, type: value.type, node: space.mask(soft, 0) };
  }
  if (input.packing && !overTokens)
    return { ...input, type: value.type, node: cx.emit("softmax", [input.node], { axis: axis - 1 }) };
  const ragged = overTokens ? [axis] : [];
  const { shape, dtype } = input.type;
  const soft = cx.emit("softmax", [masked(cx, padded(cx, input), shape, ragged, lowest(dtype))], { axis });
  const packing = cx.axes.packingOf(value.type);
  // Packing drops the padding; a padded softmax would keep weights for sequences without tokens.
  return fromPadded(cx, packing ? soft : masked(cx, soft, shape, ragged, 0), value.type);
}

export const reductionLowerings = {
  reduce: lowerReduce,
  softmax: lowerSoftmax,
};
