// Row-wise operators: those whose row i along a packed dimension needs row i of some inputs, all of the others, and nothing else.
import { isOp, typeOf, type Node } from "../ir/graph.js";
import { packedAxis } from "../ir/typing.js";
import type { OpAttrs, OpName } from "../ir/vocabulary.js";
import { ops } from "../ops/index.js";
import type { Size } from "../size/size.js";

/** For each input the dimension whose rows go with those of the result; null where every row needs all of it. */
export type RowInputs = readonly (number | null)[];

/** How the inputs of a node go with the rows along a packed dimension of its result; null where they do not. */
export function rowInputs(node: Node, dim: number): RowInputs | null {
  if (node.types.length !== 1 || node.inputs.length === 0) return null;
  const { shape } = typeOf(node);
  if (ops[node.op].lower.kind === "pointwise" || isOp(node, "broadcast")) return aligned(node, dim);
  if (isOp(node, "reshape")) return [samePacked(shape, dim, typeOf(node.inputs[0]!).shape)];
  if (isOp(node, "permute")) return [node.attrs.order[dim]!];
  if (isOp(node, "slice") || isOp(node, "softmax") || isOp(node, "stop_gradient")) return [dim];
  if (isOp(node, "concat")) return node.inputs.map(() => dim);
  if (isOp(node, "sum") || isOp(node, "reduce_max") || isOp(node, "reduce_min")) return [beforeReduction(dim, node.attrs.axes, node.attrs.keep)];
  if (isOp(node, "argmax")) return [beforeReduction(dim, [node.attrs.axis], node.attrs.keep)];
  if (isOp(node, "matmul")) return productInputs(node, dim);
  if (isOp(node, "gather")) return dim < typeOf(node.inputs[1]!).shape.length ? [null, dim] : null;
  if (isOp(node, "rope")) return dim === shape.length - 2 ? [dim, 0, null] : null;
  if (isOp(node, "cross_entropy")) return [dim, dim];
  if (isOp(node, "cross_entropy_grad")) return dim < shape.length - 1 ? [dim, dim, dim] : null;
  if (isOp(node, "random_uniform") || isOp(node, "random_normal")) return node.attrs.dim === dim ? [null, 0] : null;
  // The queries only: their starts become those of the chosen rows.
  if (isOp(node, "attention")) return dim === 1 ? [1, null, null, null, null, 0, null] : null;
  return null;
}

/** The attributes of a node computed for other rows: `rows` in place of the size of dimension `dim`. */
export function attrsFor<K extends OpName>(node: Node<K>, dim: number, rows: Size): OpAttrs[K] {
  return "shape" in node.attrs ? { ...node.attrs, shape: (node.attrs.shape as readonly Size[]).with(dim, rows) } : node.attrs; // every `shape` is that of the result
}

/** As NumPy broadcasts: dimensions from the right; those of one element serve all rows. */
function aligned(node: Node, dim: number): RowInputs {
  const rank = typeOf(node).shape.length;
  return node.inputs.map((input) => {
    const { shape } = typeOf(input);
    const own = dim - rank + shape.length;
    return own >= 0 && packedAxis(shape[own]!) !== null ? own : null;
  });
}

/** Packed dimensions survive a reshape in their order. */
function samePacked(to: readonly Size[], dim: number, from: readonly Size[]): number {
  const packed = (shape: readonly Size[]): number[] => shape.flatMap((s, d) => (packedAxis(s) === null ? [] : [d]));
  return packed(from)[packed(to).indexOf(dim)]!;
}

function beforeReduction(dim: number, axes: readonly number[], keep: boolean): number {
  if (keep) return dim;
  let at = dim;
  for (const axis of axes) if (axis <= at) at++;
  return at;
}

function productInputs(node: Node<"matmul">, dim: number): RowInputs {
  const rank = typeOf(node).shape.length;
  const [a, b] = node.inputs.map((n) => typeOf(n).shape) as [readonly Size[], readonly Size[]]; // typing has made sure of two
  if (dim === rank - 2) return [a.length - 2, null];
  if (dim === rank - 1) return [null, b.length - (node.attrs.transposed ? 2 : 1)];
  return [a, b].map((shape) => {
    const own = dim - rank + shape.length;
    return own >= 0 && packedAxis(shape[own]!) !== null ? own : null;
  });
}
