// Statistics of rows: sums over the last dimension of what a few pointwise operators make of a value.
import { isPointwise, isOp, typeOf, type Node } from "../ir/graph.js";
import { packedAxis } from "../ir/typing.js";
import type { Emit } from "./rewrite.js";

/** Operations of a statistic that are worth doing for rows that are not chosen. */
const MOST_OPERATIONS = 4;

/**
 * The values of which a sum over the last dimension can be said to read the rows, by a few pointwise operators with
 * what is the same for all rows: what it sums, and what that alone is computed of. None for any other node.
 */
export function rowSumBases(node: Node): readonly Node[] {
  if (!isOp(node, "sum") || node.attrs.axes.length !== 1) return [];
  const { shape } = typeOf(node.inputs[0]);
  if (node.attrs.axes[0] !== shape.length - 1 || !hasRows(node.inputs[0]) || packedAxis(shape.at(-1)!) !== null)
    return [];
  const bases: Node[] = [];
  let pending = new Set([node.inputs[0]]);
  for (let found = 0; found <= MOST_OPERATIONS; found++) {
    const [only, ...others] = pending;
    if (
      only &&
      others.length === 0 &&
      typeOf(only).shape.length === shape.length &&
      (!isOp(only, "take") || only.attrs.dim < shape.length - 1)
    )
      bases.push(only);
    // What another one reads comes after it.
    const next = [...pending].find((n) => isPointwise(n) && ![...pending].some((other) => other.inputs.includes(n)));
    if (!next) break;
    pending = new Set([...pending, ...next.inputs.filter(hasRows)]);
    pending.delete(next);
  }
  return bases;
}

/** The last of them, where it is computed by no such operator. */
export function rowSumOf(node: Node): Node | null {
  const last = rowSumBases(node).at(-1);
  return last && !isPointwise(last) ? last : null;
}

/** Whether a value has a packed dimension. */
export const hasRows = (node: Node): boolean => typeOf(node).shape.some((s) => packedAxis(s) !== null);

/** What such operators make of x, as they make `node` of `base`. */
export function withBase(node: Node, base: Node, x: Node, emit: Emit): Node {
  if (node === base) return x;
  if (!hasRows(node)) return node;
  return emit(
    node.op,
    node.inputs.map((n) => withBase(n, base, x, emit)),
    node.attrs,
  );
}
