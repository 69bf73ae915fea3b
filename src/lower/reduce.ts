// Reductions and softmax: over static dimensions as they stand, over sequences of existing tokens only.
import type { LogicalType, Value } from "../check/model.js";
import { invariant } from "../base/invariant.js";
import { typeOf, type Node } from "../ir/graph.js";
import { knownOnHost } from "../size/axes.js";
import { multiplySizes, rowsSize, type Size } from "../size/size.js";
import type { Lowering, Placed } from "./context.js";
import { fromPadded, highest, lowest, masked, padded } from "./convert.js";
import { storedShape } from "./layout.js";

/** A value in the form it is reduced in, with all that depends on which of its elements exist. */
export interface Space {
  readonly node: Node;
  /** The reduced dimensions of the node. */
  readonly axes: readonly number[];
  /** Elements that do not exist replaced. */
  mask(node: Node, fill: number): Node;
  /**
   * How many elements each result is made of, f32, in a shape that broadcasts against results with their dimensions
   * kept.
   */
  count(): Node;
  /** Whether that number may be 0. */
  readonly mayBeEmpty: boolean;
}

/**
 * The form in which `value` is reduced over the logical dimensions `axes`. Over the batch only together with every
 * sequence, as the checker demands.
 */
export function spaceOf(cx: Lowering, value: Placed, axes: readonly number[]): Space {
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

/** Rows of all sequences together times `rest`, f32[]. */
function rowCount(cx: Lowering, axis: string, rest: Size): Node {
  if (knownOnHost(cx.axes.all, axis)) return cx.size(multiplySizes(rowsSize(axis), rest), "f32");
  const rows = cx.emit("sum", [cx.emit("cast", [cx.counts(axis)], { dtype: "f32" })], { axes: [0], keep: false });
  return rest === 1 ? rows : cx.emit("mul", [rows, cx.size(rest, "f32")], {});
}

/**
 * The product of the counts along `ragged` and `rest`: f32[B, 1, …], summed over the batch where that is reduced too.
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
  const each = cx.reshape(
    factors.reduce((a, b) => cx.emit("mul", [a, b], {})),
    shape.map((s, i) => (i === 0 ? s : 1)),
  );
  return overBatch ? cx.emit("sum", [each], { axes: [0], keep: true }) : each;
}

/** Sum of the elements that exist, dimensions kept. */
const sumKept = (cx: Lowering, space: Space, node: Node): Node =>
  cx.emit("sum", [space.mask(node, 0)], { axes: space.axes, keep: true });

/** Mean of the elements that exist, dimensions kept; 0 where there are none. */
function meanKept(cx: Lowering, space: Space, node: Node): Node {
  const count = space.count();
  const m = cx.algebra(count);
  return m.div(sumKept(cx, space, node), space.mayBeEmpty ? m.max(count, 1) : count);
}

function lowerReduce(cx: Lowering, value: Value<"reduce">): Placed {
  const { fn, axes } = value.attrs;
  const input = cx.get(value.inputs[0]);
  if (axes.length === 0 && fn !== "argmax") return withoutAxes(cx, input, value);
  const space = spaceOf(cx, input, axes);
  // Means are taken in f32: in f16 their number would not be exact.
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
        return sumKept(cx, space, x);
      case "mean":
        return meanKept(cx, space, x);
      case "var": {
        const m = cx.algebra(x);
        const apart = m.sub(x, meanKept(cx, space, x));
        return meanKept(cx, space, m.mul(apart, apart));
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
        // The first of equals: the tokens that do not exist come last, so even the least value of one that does is
        // found before them.
        return cx.emit("argmax", [space.mask(x, lowest(dtype))], { axis, keep: true });
      }
      default:
        return fn satisfies never;
    }
  })();
  return stored(cx, cx.cast(reduced, value.type.dtype), input, value.type);
}

/** The maximum of no tokens is 0, as everything beyond the end of a sequence. */
function existing(cx: Lowering, space: Space, node: Node): Node {
  if (!space.mayBeEmpty) return node;
  const count = space.count();
  return cx.algebra(node).where(cx.algebra(count).gt(count, 0), node, 0);
}

/** From the reduced form, dimensions kept, to the form the result's type demands. */
function stored(cx: Lowering, node: Node, input: Placed, type: LogicalType): Placed {
  const packing = cx.axes.packingOf(type);
  if (input.packing && packing) return { node: cx.reshape(node, storedShape(type, packing)), type, packing };
  return fromPadded(cx, cx.reshape(node, type.shape), type);
}

function withoutAxes(cx: Lowering, input: Placed, value: Value<"reduce">): Placed {
  const node = cx.cast(input.node, value.type.dtype);
  const zero = value.attrs.fn === "var";
  return { ...input, node: zero ? cx.emit("sub", [node, node], {}) : node, type: value.type };
}

/** Mean over everything that exists of f32 values, or over those where `valid`: f32[]. The mean of none is 0. */
export function meanOfAll(cx: Lowering, value: Placed, valid: Placed | null): Node {
  const axes = value.type.shape.map((_, i) => i);
  if (axes.length === 0 && !valid) return value.node;
  const space = spaceOf(cx, value, axes);
  const total = (s: Space): Node =>
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
  if (input.packing && !overTokens)
    return { ...input, type: value.type, node: cx.emit("softmax", [input.node], { axis: axis - 1 }) };
  const ragged = overTokens ? [axis] : [];
  const { shape, dtype } = input.type;
  const soft = cx.emit("softmax", [masked(cx, padded(cx, input), shape, ragged, lowest(dtype))], { axis });
  const packing = cx.axes.packingOf(value.type);
  // Packing leaves out the tokens that do not exist; padded, their share of a sequence without tokens would remain.
  return fromPadded(cx, packing ? soft : masked(cx, soft, shape, ragged, 0), value.type);
}

/** By operation. */
export const reductionLowerings = {
  reduce: lowerReduce,
  softmax: lowerSoftmax,
};
