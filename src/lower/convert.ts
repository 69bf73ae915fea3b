// Moving a value between its forms: packed by rows, padded to the longest sequence, and fitted to the rows of another value.
import type { LogicalType } from "../check/model.js";
import { invariant } from "../diagnostics/invariant.js";
import { typeOf, type Node, type Packing } from "../ir/graph.js";
import type { DType } from "../size/dtype.js";
import type { Size } from "../size/size.js";
import type { Lowering, Placed } from "./context.js";
import { packedDim, storedShape } from "./layout.js";

/** [B, T, …] as it reads: a packed value padded with zeros; others are unchanged. */
export function padded(cx: Lowering, value: Placed): Node {
  if (!value.packing) return value.node;
  const { axis, batchDim, tokenDim } = value.packing;
  return unpackTo(cx, value.node, batchDim, tokenDim, axis, value.type.shape.length);
}

/** The value of this type held by a padded node, stored as its type demands. */
export function fromPadded(cx: Lowering, node: Node, type: LogicalType): Placed {
  const packing = cx.axes.packingOf(type);
  return { node: packing ? packFrom(cx, node, packing.batchDim, packing.tokenDim, packing.axis) : node, type, packing };
}

/** Packed along the sequence dimension `dim`, whatever other sequence dimensions there are (they stay padded). `row` is the packed dimension. */
export function packedAlong(cx: Lowering, value: Placed, dim: number): { readonly node: Node; readonly row: number; readonly axis: string } {
  const axis = cx.axes.sequenceOf(value.type.shape[dim]);
  const batchDim = cx.axes.batchDim(value.type);
  invariant(axis !== null && batchDim >= 0, `dimension ${dim} does not lie along a sequence of the batch`);
  const row = packedDim(batchDim, dim);
  if (value.packing) return { node: value.node, row, axis };
  return { node: packFrom(cx, value.node, batchDim, dim, axis), row, axis };
}

/** The inverse: the value of this type whose rows along `dim` are packed in the node. */
export function fromPackedAlong(cx: Lowering, node: Node, type: LogicalType, dim: number): Placed {
  const packing = cx.axes.packingOf(type);
  if (packing) return { node, type, packing };
  return { node: unpackTo(cx, node, cx.axes.batchDim(type), dim, cx.axes.sequenceOf(type.shape[dim])!, type.shape.length), type, packing };
}

function unpackTo(cx: Lowering, node: Node, batchDim: number, tokenDim: number, axis: string, rank: number): Node {
  const front = cx.once("unpack", [node, cx.starts(axis)], { dim: packedDim(batchDim, tokenDim), axis });
  return cx.permute(front, Array.from({ length: rank }, (_, i) => (i === batchDim ? 0 : packedDim(batchDim, i) + 1)));
}

function packFrom(cx: Lowering, node: Node, batchDim: number, tokenDim: number, axis: string): Node {
  const front = batchFirst(cx, node, batchDim);
  return cx.once("pack", [front, cx.starts(axis)], { dim: packedDim(batchDim, tokenDim), axis });
}

function batchFirst(cx: Lowering, node: Node, batchDim: number): Node {
  const others = typeOf(node).shape.flatMap((_, i) => (i === batchDim ? [] : [i]));
  return cx.permute(node, [batchDim, ...others]);
}

/** A padded node of this logical shape with `fill` in place of the tokens that do not exist along `dims`. Without a batch every token exists. */
export function masked(cx: Lowering, node: Node, shape: readonly Size[], dims: readonly number[], fill: number): Node {
  const batchDim = cx.axes.batchDim({ dtype: "f32", shape });
  if (batchDim < 0 || dims.length === 0) return node;
  let x = batchFirst(cx, node, batchDim);
  for (const dim of dims) x = cx.once("mask", [x, cx.starts(cx.axes.sequenceOf(shape[dim])!)], { dim: packedDim(batchDim, dim) + 1, fill });
  return cx.permute(x, shape.map((_, i) => (i === batchDim ? 0 : packedDim(batchDim, i) + 1)));
}

/**
 * The value as an operand of a pointwise operator whose result has `rank` dimensions and lies as `packing` says: its shape
 * broadcasts against the others as NumPy's does. A value per sequence is read by the sequence of each row, one per token of any sequence by its place.
 */
export function fitted(cx: Lowering, value: Placed, rank: number, packing: Packing | null): Node {
  if (!packing) return padded(cx, value);
  const { batchDim, tokenDim, axis } = packing;
  const lead = rank - value.type.shape.length;
  if (value.packing) {
    const same = value.packing.axis === axis && value.packing.batchDim + lead === batchDim && value.packing.tokenDim + lead === tokenDim;
    invariant(same, `rows of ${value.packing.axis} meet rows of ${axis}`);
    return value.node;
  }
  const at = (dim: number): Size | undefined => value.type.shape[dim - lead];
  if (cx.axes.isBatch(at(batchDim))) return perRow(cx, value, lead, packing, batchDim, cx.segments(axis));
  if (cx.axes.sequenceOf(at(tokenDim)) === axis) return perRow(cx, value, lead, packing, tokenDim, cx.within(axis));
  return batchDim < lead ? value.node : cx.reshape(value.node, value.type.shape.filter((_, i) => i !== batchDim - lead));
}

/** Rows of x along `dim`, chosen by u32[N], where the packed dimension of the result stands. */
function perRow(cx: Lowering, value: Placed, lead: number, packing: Packing, dim: number, rows: Node): Node {
  const full: readonly Size[] = [...Array<Size>(lead).fill(1), ...value.type.shape];
  const others = full.flatMap((_, i) => (i === packing.batchDim || i === packing.tokenDim ? [] : [i]));
  const table = cx.reshape(cx.permute(cx.reshape(value.node, full), [dim, ...full.flatMap((_, i) => (i === dim ? [] : [i]))]), [full[dim]!, ...others.map((i) => full[i]!)]);
  const picked = cx.once("gather", [table, rows], {});
  // [N, …] → […, N, …]
  const at = packedDim(packing.batchDim, packing.tokenDim);
  return cx.permute(picked, [...others.map((_, i) => i + 1).slice(0, at), 0, ...others.map((_, i) => i + 1).slice(at)]);
}

/** Fitted, and broadcast to the whole stored shape of the type. */
export function spread(cx: Lowering, value: Placed, type: LogicalType): Node {
  const packing = cx.axes.packingOf(type);
  return cx.broadcast(fitted(cx, value, type.shape.length, packing), storedShape(type, packing));
}

/** The least finite number of a dtype: what a maximum ignores. */
export function lowest(dtype: DType): number {
  switch (dtype) {
    case "f32": return -3.4028234663852886e38;
    case "f16": return -65504;
    case "i32": return -2147483648;
    case "u32": case "bool": return 0;
    default: return dtype satisfies never;
  }
}

/** The greatest finite number of a dtype: what a minimum ignores. */
export function highest(dtype: DType): number {
  switch (dtype) {
    case "f32": return 3.4028234663852886e38;
    case "f16": return 65504;
    case "i32": return 2147483647;
    case "u32": return 4294967295;
    case "bool": return 1;
    default: return dtype satisfies never;
  }
}
