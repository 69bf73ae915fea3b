// Operators that compute each column of their last dimension from the same column of an input: what is cut into columns stays cut behind them.
import { isOp, type Node } from "../../ir/graph.js";
import type { OpAttrs } from "../../ir/vocabulary.js";
import type { Size } from "../../size/size.js";
import { isPointwise } from "../demand.js";

/** The last dimension of a value with one result, where it is known; 0 for any other. */
export function widthOf(node: Node): number {
  const last = node.types.length === 1 ? node.types[0]!.shape.at(-1) : undefined;
  return typeof last === "number" ? last : 0;
}

const lastOf = (node: Node): number => node.types[0]!.shape.length - 1;

/** Whether columns of `node` need no others of `input` than their own, or, for softmax, what all columns have in common. */
export function keepsColumns(node: Node, input: Node): boolean {
  const width = widthOf(input);
  if (width < 2 || widthOf(node) !== width) return false;
  if (isPointwise(node)) return true;
  if (node.inputs[0] !== input || node.inputs.indexOf(input, 1) > 0) return false;
  const last = lastOf(input);
  if (isOp(node, "cross_entropy_grad")) return true;
  if (isOp(node, "permute")) return node.attrs.order.at(-1) === last;
  if (isOp(node, "slice") || isOp(node, "softmax")) return (node.attrs.axis === last) === isOp(node, "softmax");
  if (isOp(node, "take") || isOp(node, "unpack")) return node.attrs.dim !== last;
  if (isOp(node, "pack") || isOp(node, "mask")) return node.attrs.dim !== lastOf(node);
  if (isOp(node, "sum") || isOp(node, "reduce_max") || isOp(node, "reduce_min")) return !node.attrs.axes.includes(last);
  return isOp(node, "reshape") || isOp(node, "broadcast") || isOp(node, "stop_gradient") || isOp(node, "barrier");
}

/** Whether a node reduces all columns of `input` to what has none, part by part if it must. */
export function reducesColumns(node: Node, input: Node): boolean {
  if (node.inputs[0] !== input || node.inputs.indexOf(input, 1) > 0) return false;
  if (isOp(node, "cross_entropy")) return true;
  if (isOp(node, "sum") || isOp(node, "reduce_max") || isOp(node, "reduce_min")) return node.attrs.axes.includes(lastOf(input));
  return isOp(node, "argmax") && node.attrs.axis === lastOf(input);
}

/** The attributes of an operator that keeps columns, for so many of them. */
export function attrsFor(node: Node, columns: number): OpAttrs[Node["op"]] {
  if (!isOp(node, "reshape") && !isOp(node, "broadcast") && !isOp(node, "constant")) return node.attrs;
  const shape: readonly Size[] = [...node.attrs.shape.slice(0, -1), columns];
  return { ...node.attrs, shape };
}
