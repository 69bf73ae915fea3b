// Lowers what reads the rows of a sequence by their places: a fixed dimension as a sequence, and rows by an index.
import type { Value } from "../../language/check/model/model.js";
import { invariant } from "../../ground/base/invariant.js";
import type { Axis } from "../../ground/size/axes.js";
import { multiplySizes, type Size } from "../../ground/size/size.js";
import { typeOf, type Node } from "../ir/graph.js";
import type { Lowering, Placed } from "./context.js";
import { fromPackedAlong, packedAlong } from "./convert.js";

/** [B, n, …] as [B · n, …], of which the packed rows are in order. */
function lowerSequence(cx: Lowering, value: Value<"sequence">): Placed {
  const { axis } = value.attrs;
  const { node } = cx.get(value.inputs[0]);
  const [batch, n, ...row] = typeOf(node).shape;
  const flat = cx.reshape(node, [multiplySizes(batch!, n!), ...row]);
  const m = cx.algebra(cx.within(axis));
  const index = m.add(m.mul(cx.segments(axis), cx.constant(Number(n), "u32")), cx.within(axis));
  return fromPackedAlong(cx, cx.emit("gather", [flat, index], {}), value.type, 1);
}

/** The axis with one row for each sequence, by which an index without tokens finds its sequence. */
const ONE_EACH = "rows.one";

/** The axis that lowering `values` needs. */
export const axesOfRows = (values: readonly Value[]): readonly Axis[] =>
  values.some(({ op }) => op === "rows")
    ? [{ role: "sequence", name: ONE_EACH, bound: 1, count: { kind: "fixed", tokens: 1 } }]
    : [];

function lowerRows(cx: Lowering, value: Value<"rows">): Placed {
  const [x, index] = [cx.get(value.inputs[0]), cx.get(value.inputs[1])];
  const { node, axis } = packedAlong(cx, x, 1);
  const first = ofEachPlace(cx, cx.starts(axis), index);
  const count = ofEachPlace(cx, cx.counts(axis), index);
  const m = cx.algebra(count);
  const last = m.sub(m.max(count, cx.constant(1, "u32")), cx.constant(1, "u32"));
  const place = m.add(m.min(fromStart(cx, index.node, count), last), first);
  const found = cx.emit("gather", [node, place], {});
  const { shape } = typeOf(found);
  const behind = shape.slice(typeOf(place).shape.length).map((): Size => 1);
  const exists = cx.reshape(m.gt(count, cx.constant(0, "u32")), [...typeOf(count).shape, ...behind]);
  const zero = cx.constant(0, typeOf(found).dtype);
  const packing = cx.axes.packingOf(value.type);
  return { node: cx.broadcast(cx.emit("where", [exists, found, zero], {}), shape), type: value.type, packing };
}

/** A number of each sequence, u32[B] or the starts, for each place of an index; broadcasts to its shape. */
function ofEachPlace(cx: Lowering, each: Node, { node, packing }: Placed): Node {
  const { shape } = typeOf(node);
  if (packing) {
    const dim = packing.tokenDim - packing.batchDim - 1;
    const rows = cx.emit("gather", [each, cx.segments(packing.axis)], {});
    return cx.reshape(
      rows,
      shape.map((size, i): Size => (i === dim ? size : 1)),
    );
  }
  const [batch, ...others] = shape;
  invariant(batch !== undefined, "an index has the batch");
  const one = cx.emit("gather", [each, cx.segments(ONE_EACH)], {});
  const padded = cx.emit("unpack", [one, cx.starts(ONE_EACH)], { dim: 0, axis: ONE_EACH });
  const ofSequence = cx.emit("sum", [padded], { axes: [1], keep: false });
  return cx.reshape(ofSequence, [batch, ...others.map((): Size => 1)]);
}

/** A place from the first row on: a negative one counts from the end. */
function fromStart(cx: Lowering, index: Node, count: Node): Node {
  if (typeOf(index).dtype !== "i32") return cx.cast(index, "u32");
  const m = cx.algebra(index);
  const zero = cx.constant(0, "i32");
  const fromEnd = m.max(m.add(index, cx.cast(count, "i32")), zero);
  return cx.cast(m.where(m.lt(index, zero), fromEnd, index), "u32");
}

export const fixedRowLowerings = { sequence: lowerSequence, rows: lowerRows };
