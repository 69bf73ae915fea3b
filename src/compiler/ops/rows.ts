// Implementations of `rows` and `tokens` that records share.
import { isOp, typeOf, type Node } from "../ir/graph.js";
import { packedAxis } from "../ir/typing.js";
import type { OpAttrs, OpName } from "../ir/vocabulary.js";
import type { Size } from "../../ground/size/size.js";
import type { RowInputs, Along, Tokens } from "./define.js";

/**
 * Row correspondence under NumPy broadcasting: dimensions align from the right; a dimension of size 1 is shared by all
 * rows.
 */
export function aligned(node: Node, dim: number): RowInputs {
  const rank = typeOf(node).shape.length;
  return node.inputs.map((input) => {
    const { shape } = typeOf(input);
    const inputDim = dim - rank + shape.length;
    return inputDim >= 0 && packedAxis(shape[inputDim]!) !== null ? inputDim : null;
  });
}

/** Row correspondence if every input has the rows along the same dimension as the result. */
export const sameDim = (node: Node, dim: number): RowInputs => node.inputs.map(() => dim);

/** The input dimension of a reduction over `axes` that corresponds to dimension `dim` of the result. */
export function beforeReduction(dim: number, axes: readonly number[], keep: boolean): number {
  if (keep) return dim;
  let at = dim;
  for (const axis of axes) if (axis <= at) at++;
  return at;
}

/** The tokens read by an operator along `dims` of input 0: all, if one of these dimensions is along a sequence. */
export const tokensAlong = ({ inputs: [x] }: Node, along: Along, dims: readonly number[]): Tokens =>
  dims.some((d) => along(typeOf(x).shape[d]!)) ? "all" : "own";

/** The packed axis of a dimension of an input. */
export function rowsAlong(node: Node, input: number, dim: number): string | null {
  const size = node.inputs[input]?.types[0]?.shape[dim];
  return size === undefined ? null : packedAxis(size);
}

/** The last dimension of a node's first input. */
export const lastDim = ({ inputs: [x] }: Node): number => typeOf(x).shape.length - 1;

/** The attributes of a node if dimension `dim` of its result had size `size`. */
export function attrsWith<K extends OpName>(node: Node<K>, dim: number, size: Size): OpAttrs[K] {
  if (!("shape" in node.attrs) || isOp(node, "weight")) return node.attrs;
  // an attribute `shape` is always the shape of the result
  return { ...node.attrs, shape: (node.attrs.shape as readonly Size[]).with(dim, size) };
}
