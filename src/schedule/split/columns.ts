// Operators that compute each column of their last dimension from the same column of an input: what is cut into columns
// stays cut behind them.
import { isPointwise, type Node } from "../../ir/graph.js";
import type { OpAttrs } from "../../ir/vocabulary.js";
import { attrsWith } from "../../ops/rows.js";
import { columnsOf } from "../../ops/traits.js";

/** The last dimension of a value with one result, where it is known; 0 for any other. */
export function widthOf(node: Node): number {
  const last = node.types.length === 1 ? node.types[0]!.shape.at(-1) : undefined;
  return typeof last === "number" ? last : 0;
}

/**
 * Whether columns of `node` need no others of `input` than their own, or, for softmax, what all columns have in common.
 */
export function keepsColumns(node: Node, input: Node): boolean {
  const width = widthOf(input);
  if (width < 2 || widthOf(node) !== width) return false;
  return isPointwise(node) || (isReadFirst(node, input) && columnsOf(node) === "kept");
}

/** Whether a node reduces all columns of `input` to what has none, part by part if it must. */
export const reducesColumns = (node: Node, input: Node): boolean =>
  isReadFirst(node, input) && columnsOf(node) === "reduced";

/** Whether it is input 0 and no other. */
const isReadFirst = (node: Node, input: Node): boolean => node.inputs[0] === input && node.inputs.indexOf(input, 1) < 0;

/** The attributes of an operator that keeps columns, for so many of them. */
export const attrsFor = (node: Node, columns: number): OpAttrs[Node["op"]] =>
  attrsWith(node, node.types[0]!.shape.length - 1, columns);
