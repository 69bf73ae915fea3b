// Converts a value between its forms: packed by rows, padded to the longest sequence, and broadcast to the rows of
// another value.
import type { LogicalType } from "../../language/check/model/model.js";
import { invariant } from "../../ground/base/invariant.js";
import { typeOf, type Node, type Packing } from "../ir/graph.js";
import type { DType } from "../../ground/base/dtype.js";
import type { Size } from "../../ground/size/size.js";
import type { Lowering, Placed } from "./context.js";
import { storedShape } from "./layout.js";

/** The value in its logical shape [B, …, T, …]: a packed value is padded with zeros, any other is unchanged. */
export const padded = (cx: Lowering, { node, packing }: Placed): Node =>
  packing ? unpack(cx, node, packing.tokenDim, packing.axis) : node;

/** The value of this type from a padded node; packed if its type is stored packed. */
export function fromPadded(cx: Lowering, node: Node, type: LogicalType): Placed {
  const packing = cx.axes.packingOf(type);
  return { node: packing ? pack(cx, node, packing.tokenDim, packing.axis) : node, type, packing };
}

/**
 * The value packed along its sequence dimension `dim`; further sequence dimensions stay padded. `row` is the packed
 * dimension.
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

/** The inverse of `packedAlong`: the value of this type from a node that is packed along `dim`. */
export function fromPackedAlong(cx: Lowering, node: Node, type: LogicalType, dim: number): Placed {
  const packing = cx.axes.packingOf(type);
  return { node: packing ? node : unpack(cx, node, dim, cx.axes.sequenceOf(type.shape[dim])!), type, packing };
}

const unpack = (cx: Lowering, node: Node, dim: number, axis: string): Node =>
  cx.emit("unpack", [node, cx.starts(axis)], { dim: dim - 1, axis });
const pack = (cx: Lowering, node: Node, dim: number, axis: string): Node =>
  cx.emit("pack", [node, cx.starts(axis)], { dim: dim - 1, axis });

/** Fills the padding of a padded node of this logical shape along `dims` with `fill`. */
export const masked = (cx: Lowering, node: Node, shape: readonly Size[], dims: readonly number[], fill: number): Node =>
  dims.reduce((x, dim) => cx.emit("mask", [x, cx.starts(cx.axes.sequenceOf(shape[dim])!)], { dim, fill }), node);

/**
 * The value as an operand of a pointwise operator whose result has `rank` dimensions and the packing `packing`, so that
 * NumPy broadcasting applies. A value with one element per sequence is gathered to the rows of each sequence.
 */
export function alignedOperand(cx: Lowering, value: Placed, rank: number, packing: Packing | null): Node {
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

/** Gathers [B, …, 1, …] to the rows of each sequence: […, N, …]. */
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

/** `alignedOperand`, broadcast to the full stored shape of the type. */
export function broadcastToType(cx: Lowering, value: Placed, type: LogicalType): Node {
  const packing = cx.axes.packingOf(type);
  return cx.broadcast(alignedOperand(cx, value, type.shape.length, packing), storedShape(type, packing));
}

/** The smallest value of a dtype, −∞ for floats: the neutral element of max. */
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

/** The largest value of a dtype, ∞ for floats: the neutral element of min. */
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
