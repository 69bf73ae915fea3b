// Column-wise operators: each column of the last dimension depends on the same column of an input, so that a value
// split into columns stays split.
import { isPointwise, type Node } from "../../ir/graph.js";
import type { OpAttrs } from "../../ir/vocabulary.js";
import { attrsWith } from "../../ops/rows.js";
import { columnsOf } from "../../ops/traits.js";
import { widthOf } from "../analysis/extents.js";

/**
 * Whether columns of `node` depend only on the same columns of `input` or, for softmax, also on reductions over all
 * columns.
 */
export function keepsColumns(node: Node, input: Node): boolean {
  const width = widthOf(input);
  if (width < 2 || widthOf(node) !== width) return false;
  return isPointwise(node) || (isReadFirst(node, input) && columnsOf(node) === "kept");
}

/** Whether a node reduces the columns of `input`, in a way that can be done part by part. */
export const reducesColumns = (node: Node, input: Node): boolean =>
  isReadFirst(node, input) && columnsOf(node) === "reduced";

/** Whether `input` is input 0 of the node and no other input. */
const isReadFirst = (node: Node, input: Node): boolean => node.inputs[0] === input && node.inputs.indexOf(input, 1) < 0;

/** The attributes of a column-wise operator for `columns` columns. */
export const attrsFor = (node: Node, columns: number): OpAttrs[Node["op"]] =>
  attrsWith(node, node.types[0]!.shape.length - 1, columns);
