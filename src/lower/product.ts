// Matrix products: on packed rows where each row meets the same matrix or a matrix of its own, else padded, with absent
// tokens masked out of the sums.
import type { Value } from "../check/model.js";
import type { Node, Packing } from "../ir/graph.js";
import type { Lowering, Placed } from "./context.js";
import { fitted, fromPadded, masked, padded } from "./convert.js";

function lowerMatmul(cx: Lowering, value: Value<"matmul">): Placed {
  const a = cx.get(value.inputs[0]);
  const b = cx.get(value.inputs[1]);
  const packing = cx.axes.packingOf(value.type);
  if (packing && isRowwise(cx, a, b, value.type.shape.length, packing)) {
    // Each operand without its batch dimension; leading dimensions still align from the right.
    const rank = value.type.shape.length;
    return {
      node: cx.emit("matmul", [fitted(cx, a, rank, packing), fitted(cx, b, rank, packing)], { transposed: false }),
      type: value.type,
      packing,
    };
  }
  const product = cx.emit(
    "matmul",
    [summable(cx, a, a.type.shape.length - 1), summable(cx, b, b.type.shape.length - 2)],
    { transposed: false },
  );
  return fromPadded(cx, product, value.type);
}

/**
 * Whether the product is one of packed rows: the batch is a leading dimension, and the tokens are
 * - a leading one, where each operand has them or is the same for all;
 * - rows of a or columns of b, where the other operand is the same for all.
 */
function isRowwise(cx: Lowering, a: Placed, b: Placed, rank: number, packing: Packing): boolean {
  const same = ({ type: { shape } }: Placed): boolean =>
    !cx.axes.hasBatch(shape) && cx.axes.sequenceDims(shape).length === 0;
  if (rank < 3) return false;
  const rows = (x: Placed): boolean => x.packing?.tokenDim === packing.tokenDim;
  if (packing.tokenDim < rank - 2) return (rows(a) || same(a)) && (rows(b) || same(b));
  return packing.tokenDim === rank - 2 ? rows(a) && same(b) : rows(b) && same(a);
}

/** The operand padded, with zeros for tokens that do not exist wherever the sum over `dim` would see them. */
function summable(cx: Lowering, value: Placed, dim: number): Node {
  const { shape } = value.type;
  return masked(cx, padded(cx, value), shape, cx.axes.sequenceOf(shape[dim]) === null ? [] : [dim], 0);
}

/** By operation. */
export const productLowerings = {
  matmul: lowerMatmul,
};
