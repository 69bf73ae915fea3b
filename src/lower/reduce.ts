// Reductions and softmax: over static dimensions as they stand, over sequences of existing tokens only.
import type { LogicalType, Value } from "../check/model.js";
import { invariant } from "../diagnostics/invariant.js";
import { typeOf, type Node } from "../ir/graph.js";
import { knownOnHost } from "../size/axes.js";
import { isFloat } from "../size/dtype.js";
import { multiplySizes, rowsSize, type Size } from "../size/size.js";
import type { Lowering, Placed } from "./context.js";
import { fromPadded, highest, lowest, masked, padded } from "./convert.js";
import { packedDim } from "./layout.js";

/** A value in the form it is reduced in, with all that depends on which of its elements exist. */
export interface Space {
  readonly node: Node;
  /** The reduced dimensions of the node. */
  readonly axes: readonly number[];
  /** Elements that do not exist replaced. */
  mask(node: Node, fill: number): Node;
  /** How many elements each result is made of, f32, in a shape that broadcasts against results with their dimensions kept. */
  count(): Node;
  /** Whether that number may be 0. */
  readonly mayBeEmpty: boolean;
}

/** The form in which `value` is reduced over the logical dimensions `axes`. */
export function spaceOf(cx: Lowering, value: Placed, axes: readonly number[]): Space {
  const { shape } = value.type;
  const batchDim = cx.axes.batchDim(value.type);
  const overBatch = batchDim >= 0 && axes.includes(batchDim);
  const overTokens = cx.axes.sequenceDims(value.type).filter((d) => axes.includes(d));
  if (value.packing && overBatch === overTokens.length > 0) {
    const { axis } = value.packing;
    const others = axes.filter((d) => d !== batchDim && !overTokens.includes(d));
    const rest = others.reduce((n: Size, d) => multiplySizes(n, shape[d]!), 1);
    return {
      node: value.node,
      axes: axes.filter((d) => d !== batchDim).map((d) => packedDim(batchDim, d)),
      mask: (node) => node,
      count: () => (overBatch ? rowCount(cx, axis, rest) : cx.size(rest, "f32")),
      mayBeEmpty: overBatch,
    };
  }
  // The batch holds sequences of unlike lengths: a reduction over it must leave out tokens that do not exist.
  const ragged = batchDim < 0 ? [] : overBatch ? cx.axes.sequenceDims(value.type) : overTokens;
  return {
    node: padded(cx, value),
    axes,
    mask: (node, fill) => masked(cx, node, shape, ragged, fill),
    count: () => countPadded(cx, value.type, axes, ragged),
    mayBeEmpty: ragged.length > 0,
  };
}

/** Rows of all sequences together times `rest`, f32[]. */
function rowCount(cx: Lowering, axis: string, rest: Size): Node {
  if (knownOnHost(cx.axes.all, axis)) return cx.size(multiplySizes(rowsSize(axis), rest), "f32");
  const rows = cx.once("sum", [cx.once("cast", [cx.counts(axis)], { dtype: "f32" })], { axes: [0], keep: false });
  return rest === 1 ? rows : cx.once("mul", [rows, cx.size(rest, "f32")], {});
}

function countPadded(cx: Lowering, type: LogicalType, axes: readonly number[], ragged: readonly number[]): Node {
  const batchDim = cx.axes.batchDim(type);
  const overBatch = axes.includes(batchDim);
  const plain = axes.filter((d) => !ragged.includes(d) && (d !== batchDim || ragged.length === 0));
  const rest = plain.reduce((n: Size, d) => multiplySizes(n, type.shape[d]!), 1);
  if (ragged.length === 0) return cx.size(rest, "f32");
  // f32, 1 at every dimension but those named
  const ones = (dims: readonly number[]): Size[] => type.shape.map((s, i) => (dims.includes(i) ? s : 1));
  let each = cx.reshape(cx.size(rest, "f32"), ones([]));
  for (const d of ragged.filter((r) => axes.includes(r))) {
    const counts = cx.once("cast", [cx.counts(cx.axes.sequenceOf(type.shape[d])!)], { dtype: "f32" });
    each = cx.once("mul", [each, cx.reshape(counts, ones([batchDim]))], {});
  }
  if (!overBatch) return each;
  const kept = ragged.filter((r) => !axes.includes(r));
  const shape = ones([batchDim, ...kept]);
  return cx.once("sum", [masked(cx, cx.broadcast(each, shape), shape, kept, 0)], { axes: [batchDim], keep: true });
}

/** Sum of the elements that exist, dimensions kept. */
const sumKept = (cx: Lowering, space: Space, node: Node): Node => cx.emit("sum", [space.mask(node, 0)], { axes: space.axes, keep: true });

/** Mean of the elements that exist, dimensions kept; 0 where there are none. */
function meanKept(cx: Lowering, space: Space, node: Node): Node {
  const count = space.count();
  const by = space.mayBeEmpty ? cx.once("max", [count, cx.constant(1, "f32")], {}) : count;
  return cx.emit("div", [sumKept(cx, space, node), by], {});
}

export function lowerReduce(cx: Lowering, value: Value<"reduce">): Placed {
  const { fn, axes, keep } = value.attrs;
  const input = cx.get(value.inputs[0]);
  if (axes.length === 0 && fn !== "argmax") return withoutAxes(cx, input, value);
  const space = spaceOf(cx, input, axes);
  // Means are taken in f32: in f16 their number would not be exact.
  const x = fn === "mean" || fn === "var" ? cx.cast(space.node, "f32") : fn === "sum" ? cx.cast(space.node, value.type.dtype) : space.node;
  const { dtype } = typeOf(x);
  const reduced = ((): Node => {
    switch (fn) {
      case "sum": return sumKept(cx, space, x);
      case "mean": return meanKept(cx, space, x);
      case "var": {
        const apart = cx.emit("sub", [x, meanKept(cx, space, x)], {});
        return meanKept(cx, space, cx.emit("mul", [apart, apart], {}));
      }
      case "max": return existing(cx, space, cx.emit("reduce_max", [space.mask(x, lowest(dtype))], { axes: space.axes, keep: true }));
      case "min": return existing(cx, space, cx.emit("reduce_min", [space.mask(x, highest(dtype))], { axes: space.axes, keep: true }));
      case "argmax": {
        const [axis] = space.axes;
        invariant(axis !== undefined, "argmax over no axis");
        // Raised to the fill, −∞ is found before the tokens that do not exist: they come last.
        const raised = space.mayBeEmpty && isFloat(dtype) ? cx.emit("max", [x, cx.constant(lowest(dtype), dtype)], {}) : x;
        return cx.emit("argmax", [space.mask(raised, lowest(dtype))], { axis, keep: true });
      }
      default: return fn satisfies never;
    }
  })();
  return stored(cx, cx.cast(reduced, value.type.dtype), input, axes, keep, value.type);
}

/** The maximum of no tokens is 0, as everything beyond the end of a sequence. */
function existing(cx: Lowering, space: Space, node: Node): Node {
  if (!space.mayBeEmpty) return node;
  const some = cx.once("gt", [space.count(), cx.constant(0, "f32")], {});
  return cx.emit("where", [some, node, cx.constant(0, typeOf(node).dtype)], {});
}

/** From the reduced form, dimensions kept, to the form the result's type demands. */
function stored(cx: Lowering, node: Node, input: Placed, axes: readonly number[], keep: boolean, type: LogicalType): Placed {
  const packing = cx.axes.packingOf(type);
  const stillPacked = input.packing !== null && packing !== null;
  if (stillPacked) {
    const gone = keep ? [] : axes.map((d) => packedDim(input.packing!.batchDim, d));
    return { node: cx.reshape(node, typeOf(node).shape.filter((_, i) => !gone.includes(i))), type, packing };
  }
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
  const total = (s: Space): Node => (s.axes.length === 0 ? s.node : cx.emit("sum", [s.mask(s.node, 0)], { axes: s.axes, keep: false }));
  const count = valid ? total(spaceOf(cx, { ...valid, node: cx.cast(valid.node, "f32") }, axes)) : cx.reshape(space.count(), []);
  const by = valid !== null || space.mayBeEmpty ? cx.emit("max", [count, cx.constant(1, "f32")], {}) : count;
  return cx.emit("div", [total(space), by], {});
}

export function lowerSoftmax(cx: Lowering, value: Value<"softmax">): Placed {
  const input = cx.get(value.inputs[0]);
  const { axis } = value.attrs;
  const batchDim = cx.axes.batchDim(input.type);
  const overTokens = cx.axes.sequenceOf(input.type.shape[axis]) !== null;
  if (input.packing && !overTokens && axis !== batchDim)
    return { ...input, type: value.type, node: cx.emit("softmax", [input.node], { axis: packedDim(input.packing.batchDim, axis) }) };
  const ragged = axis === batchDim ? cx.axes.sequenceDims(input.type) : overTokens ? [axis] : [];
  const { shape, dtype } = input.type;
  const soft = cx.emit("softmax", [masked(cx, padded(cx, input), shape, ragged, lowest(dtype))], { axis });
  const packing = cx.axes.packingOf(value.type);
  // Packing leaves out the tokens that do not exist; padded, their share of a sequence without tokens would remain.
  return fromPadded(cx, packing ? soft : masked(cx, soft, shape, ragged, 0), value.type);
}
