// Values that are there for the rows of a route and nothing, or what was there before, for all others.
import { isOp, typeOf, type Node } from "../ir/graph.js";
import { equalShapes, packedAxis } from "../ir/typing.js";
import { rowsSize } from "../size/size.js";
import type { Emit } from "./rewrite.js";

/** A route seen from a tensor: its index, and the tensor's dimension that its mask lies along. */
export interface MaskedRows {
  readonly index: Node;
  readonly dim: number;
}

/**
 * The route whose mask this is, as truth values or as zeros and ones, whatever its shape, beside a tensor of `rank`
 * dimensions; `inverted`: of the other rows.
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

/** Factors of a product that are looked at. */
const MOST_FACTORS = 8;

/**
 * The value without its mask, and the route, where it is a product with a mask among its factors. Where the mask is 1
 * the two are equal; elsewhere the masked one is 0, or NaN where another factor is infinite.
 */
export function unmasked(node: Node, emit: Emit): (MaskedRows & { readonly value: Node }) | null {
  const rank = typeOf(node).shape.length;
  const without = (at: Node, depth: number): (MaskedRows & { readonly value: Node }) | null => {
    if (!isOp(at, "mul") || depth > MOST_FACTORS) return null;
    const [a, b] = at.inputs;
    for (const [factor, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const mask = maskOf(factor, rank);
      if (mask && !mask.inverted) return { ...mask, value: other };
      const inner = without(factor, depth + 1);
      if (inner) return { ...inner, value: emit("mul", factor === a ? [inner.value, b] : [a, inner.value], {}) };
    }
    return null;
  };
  return without(node, 0);
}

/** The chosen rows of a value that broadcasts to the shape of `whole`; null where its own shape does not allow it. */
export function chosenOf(value: Node, whole: Node, { index, dim }: MaskedRows, emit: Emit): Node | null {
  const { shape } = typeOf(whole);
  const own = dim - shape.length + typeOf(value).shape.length;
  const axis = packedAxis(typeOf(index).shape[0]!);
  if (axis === null || packedAxis(shape[dim]!) === null) return null;
  const rows =
    own >= 0 && packedAxis(typeOf(value).shape[own]!) !== null ? emit("take", [value, index], { dim: own }) : value;
  const to = shape.with(dim, rowsSize(axis));
  return equalShapes(typeOf(rows).shape, to) ? rows : emit("broadcast", [rows], { shape: to });
}
