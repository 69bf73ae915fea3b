// Moving a value between its forms: packed by rows, padded to the longest sequence, and fitted to the rows of another
// value.
import type { LogicalType } from "../check/model.js";
import { invariant } from "../base/invariant.js";
import { typeOf, type Node, type Packing } from "../ir/graph.js";
import type { DType } from "../base/dtype.js";
import type { Size } from "../size/size.js";
import type { Lowering, Placed } from "./context.js";
import { storedShape } from "./layout.js";

/** [B, …, T, …] as it reads: a packed value padded with zeros; others are unchanged. */
export const padded = (cx: Lowering, { node, packing }: Placed): Node =>
  packing ? unpack(cx, node, packing.tokenDim, packing.axis) : node;

/** The value of this type held by a padded node, stored as its type demands. */
export function fromPadded(cx: Lowering, node: Node, type: LogicalType): Placed {
  const packing = cx.axes.packingOf(type);
  return { node: packing ? pack(cx, node, packing.tokenDim, packing.axis) : node, type, packing };
}

/**
 * Packed along the sequence dimension `dim`, whatever other sequence dimensions there are (they stay padded). `row` is
 * the packed dimension.
 */
export function packedAlong(
  cx: Lowering,
  { node, type, packing }: Placed,
  dim: number,
): { readonly node: Node; readonly row: number; readonly axis: string } {
  const axis = cx.axes.sequenceOf(type.shape[dim]);
  invariant(axis !== null, `dimension ${dim} does not lie along a sequence`);
  return { node: packing ? node : pack(cx, node, dim, axis), row: dim - 1, axis };
}

/** The inverse: the value of this type whose rows along `dim` are packed in the node. */
export function fromPackedAlong(cx: Lowering, node: Node, type: LogicalType, dim: number): Placed {
  const packing = cx.axes.packingOf(type);
  return { node: packing ? node : unpack(cx, node, dim, cx.axes.sequenceOf(type.shape[dim])!), type, packing };
}

const unpack = (cx: Lowering, node: Node, dim: number, axis: string): Node =>
  cx.emit("unpack", [node, cx.starts(axis)], { dim: dim - 1, axis });
const pack = (cx: Lowering, node: Node, dim: number, axis: string): Node =>
  cx.emit("pack", [node, cx.starts(axis)], { dim: dim - 1, axis });

/** A padded node of this logical shape with `fill` in place of the tokens that do not exist along `dims`. */
export const masked = (cx: Lowering, node: Node, shape: readonly Size[], dims: readonly number[], fill: number): Node =>
  dims.reduce((x, dim) => cx.emit("mask", [x, cx.starts(cx.axes.sequenceOf(shape[dim])!)], { dim, fill }), node);

/**
 * The value as an operand of a pointwise operator whose result has `rank` dimensions and lies as `packing` says: its
 * shape broadcasts against the others as NumPy's does. A value per sequence is read by the sequence of each row.
 */
export function fitted(cx: Lowering, value: Placed, rank: number, packing: Packing | null): Node {
  if (!packing) return padded(cx, value);
  const { tokenDim, axis } = packing;
  const { shape } = value.type;
  const lead = rank - shape.length;
  if (value.packing) {
    invariant(
      lead === 0 && value.packing.axis === axis && value.packing.tokenDim === tokenDim,
      `rows of ${value.packing.axis} meet rows of ${axis}`,
    );
    return value.node;
  }
  if (lead === 0 && cx.axes.isBatch(shape[0])) return perRow(cx, value, packing, cx.segments(axis));
  return lead > 0 ? value.node : cx.reshape(value.node, shape.slice(1));
}

/** [B, …, 1, …] read by the sequence of each row: […, N, …]. */
function perRow(cx: Lowering, { node, type }: Placed, { tokenDim }: Packing, segments: Node): Node {
  const picked = cx.emit(
    "gather",
    [
      cx.reshape(
        node,
        type.shape.filter((_, i) => i !== tokenDim),
      ),
      segments,
    ],
    {},
  );
  const others = typeOf(picked)
    .shape.slice(1)
    .map((_, i) => i + 1);
  return cx.permute(picked, [...others.slice(0, tokenDim - 1), 0, ...others.slice(tokenDim - 1)]);
}

/** Fitted, and broadcast to the whole stored shape of the type. */
export function spread(cx: Lowering, value: Placed, type: LogicalType): Node {
  const packing = cx.axes.packingOf(type);
  return cx.broadcast(fitted(cx, value, type.shape.length, packing), storedShape(type, packing));
}

/** The least value of a dtype, −∞ for floats: what a maximum ignores, whatever the tokens that exist hold. */
export function lowest(dtype: DType): number {
  switch (dtype) {
    case "f32":
    case "f16":
      return -Infinity;
    case "i32":
      return -2147483648;
    case "u32":
    case "bool":
      return 0;
    default:
      return dtype satisfies never;
  }
}

/** The greatest value of a dtype, ∞ for floats: what a minimum ignores, whatever the tokens that exist hold. */
export function highest(dtype: DType): number {
  switch (dtype) {
    case "f32":
    case "f16":
      return Infinity;
    case "i32":
      return 2147483647;
    case "u32":
      return 4294967295;
    case "bool":
      return 1;
    default:
      return dtype satisfies never;
  }
}
