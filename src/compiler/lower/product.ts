// Lowers matrix products: on packed rows if all rows share one matrix or each row has a separate matrix, else padded,
// with padding masked out of the sums.
import type { Value } from "../../language/check/model/model.js";
import type { Node, Packing } from "../ir/graph.js";
import type { Lowering, Placed } from "./context.js";
import { alignedOperand, fromPadded, masked, padded } from "./convert.js";
import { expertProduct, isOfExperts } from "./sorted.js";

function lowerMatmul(cx: Lowering, value: Value<"matmul">): Placed {
  if (isOfExperts(value.inputs[1])) return expertProduct(cx, value);
  const a = cx.get(value.inputs[0]);
  const b = cx.get(value.inputs[1]);
  const packing = cx.axes.packingOf(value.type);
  if (packing && isRowwise(cx, a, b, value.type.shape.length, packing)) {
    // Both operands lose their batch dimension; leading dimensions still align from the right.
    const rank = value.type.shape.length;
    return {
      node: cx.emit("matmul", [alignedOperand(cx, a, rank, packing), alignedOperand(cx, b, rank, packing)], {
        transposed: false,
      }),
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
 * Whether the product can be computed on packed rows: the batch is a leading dimension, and the token dimension is
 * - a leading one, if each operand has it or is shared by all tokens;
 * - the rows of a or the columns of b, if the other operand is shared by all tokens.
 */
function isRowwise(cx: Lowering, a: Placed, b: Placed, rank: number, packing: Packing): boolean {
  const same = ({ type: { shape } }: Placed): boolean =>
    !cx.axes.hasBatch(shape) && cx.axes.sequenceDims(shape).length === 0;
  if (rank < 3) return false;
  const rows = (x: Placed): boolean => x.packing?.tokenDim === packing.tokenDim;
  if (packing.tokenDim < rank - 2) return (rows(a) || same(a)) && (rows(b) || same(b));
  return packing.tokenDim === rank - 2 ? rows(a) && same(b) : rows(b) && same(a);
}

/** The padded operand, with zeros as padding if the product sums over `dim` and `dim` is a sequence dimension. */
function summable(cx: Lowering, value: Placed, dim: number): Node {
  const { shape } = value.type;
  return masked(cx, padded(cx, value), shape, cx.axes.sequenceOf(shape[dim]) === null ? [] : [dim], 0);
}

export const productLowerings = {
  matmul: lowerMatmul,
};
