// Recognises masked values: values that are non-zero (or changed) only at the rows of a route.
import { isOp, typeOf, type Node } from "../ir/graph.js";
import { equalShapes, packedAxis } from "../ir/typing.js";
import { rowsSize } from "../../ground/size/size.js";
import type { Emit } from "./rewrite.js";

/** A route's mask over a tensor: the route's index, and the tensor's dimension along which the mask varies. */
export interface MaskedRows {
  readonly index: Node;
  readonly dim: number;
}

/**
 * The route whose mask the node is, in any shape, as booleans or as zeros and ones, next to a tensor of `rank`
 * dimensions; null if the node is not a mask. `inverted`: the mask of the rows outside the route.
 */
export function maskOf(node: Node, rank: number): (MaskedRows & { readonly inverted: boolean }) | null {
  let mask = node;
  let inverted = false;
  while (
    isOp(mask, "reshape") ||
    isOp(mask, "broadcast") ||
    isOp(mask, "not") ||
    (isOp(mask, "cast") && fromBool(mask))
  ) {
    inverted = inverted !== isOp(mask, "not");
    mask = mask.inputs[0]!;
  }
  if (!isOp(mask, "route_mask")) return null;
  const { shape } = typeOf(node);
  const packed = shape.flatMap((s, d) => (packedAxis(s) === null ? [] : [d]));
  return packed.length === 1 ? { index: mask.inputs[0], dim: packed[0]! - shape.length + rank, inverted } : null;
}

const fromBool = (cast: Node): boolean => typeOf(cast.inputs[0]).dtype === "bool";

/** The limit on the examined factors of a product. */
const MAX_FACTORS = 8;

/**
 * If the node is a product with a mask among its factors: the product without the mask, and the route. At rows of the
 * route the two are equal; at other rows the node is 0, or NaN if another factor is infinite.
 */
export function unmasked(node: Node, emit: Emit): (MaskedRows & { readonly value: Node }) | null {
  const rank = typeOf(node).shape.length;
  const withoutMask = (at: Node, depth: number): (MaskedRows & { readonly value: Node }) | null => {
    if (!isOp(at, "mul") || depth > MAX_FACTORS) return null;
    const [a, b] = at.inputs;
    for (const [factor, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const mask = maskOf(factor, rank);
      if (mask && !mask.inverted) return { ...mask, value: other };
      const inner = withoutMask(factor, depth + 1);
      if (inner) return { ...inner, value: emit("mul", factor === a ? [inner.value, b] : [a, inner.value], {}) };
    }
    return null;
  };
  return withoutMask(node, 0);
}

/**
 * The chosen rows of a value that broadcasts to the shape of `whole`; null if the value's shape does not permit the
 * choice.
 */
export function chosenRowsOf(value: Node, whole: Node, { index, dim }: MaskedRows, emit: Emit): Node | null {
  const { shape } = typeOf(whole);
  const valueDim = dim - shape.length + typeOf(value).shape.length;
  const axis = packedAxis(typeOf(index).shape[0]!);
  if (axis === null || packedAxis(shape[dim]!) === null) return null;
  const rows =
    valueDim >= 0 && packedAxis(typeOf(value).shape[valueDim]!) !== null
      ? emit("take", [value, index], { dim: valueDim })
      : value;
  const to = shape.with(dim, rowsSize(axis));
  return equalShapes(typeOf(rows).shape, to) ? rows : emit("broadcast", [rows], { shape: to });
}
