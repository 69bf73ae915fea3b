// Statistics of rows: sums over the last dimension of what a few pointwise operators make of a value.
import { isOp, typeOf, type Node } from "../ir/graph.js";
import { packedAxis } from "../ir/typing.js";
import { ops } from "../ops/index.js";

/** Operations of a statistic that are worth doing for rows that are not chosen. */
const MOST_OPERATIONS = 4;

/** The value whose rows a sum over the last dimension reads, by a few pointwise operators with what is the same for all rows; null for any other node. */
export function rowSumOf(node: Node): Node | null {
  if (!isOp(node, "sum") || node.attrs.axes.length !== 1) return null;
  const { shape } = typeOf(node.inputs[0]!);
  if (node.attrs.axes[0] !== shape.length - 1 || !hasRows(node.inputs[0]!) || packedAxis(shape.at(-1)!) !== null) return null;
  const pending = [node.inputs[0]!];
  let leaf: Node | null = null;
  for (let found = 0, next = pending.pop(); next; next = pending.pop()) {
    if (!hasRows(next)) continue;
    if (ops[next.op].lower.kind === "pointwise" && next.op !== "constant") {
      if (++found > MOST_OPERATIONS) return null;
      pending.push(...next.inputs);
    } else if (leaf && leaf !== next) return null;
    else leaf = next;
  }
  return leaf && typeOf(leaf).shape.length === shape.length && (!isOp(leaf, "take") || leaf.attrs.dim < shape.length - 1) ? leaf : null;
}

/** Whether a value has a packed dimension. */
export const hasRows = (node: Node): boolean => typeOf(node).shape.some((s) => packedAxis(s) !== null);
