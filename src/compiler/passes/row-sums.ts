// Row statistics: sums over the last dimension of a few pointwise operators on one value.
import { isPointwise, isOp, typeOf, type Node } from "../ir/graph.js";
import { packedAxis } from "../ir/typing.js";
import type { Emit } from "./rewrite.js";

/** The limit on pointwise operators in a statistic that is computed for all rows instead of the chosen rows. */
const MAX_OPERATIONS = 4;

/**
 * The values that a sum over the last dimension can be a statistic of: its input, and each value from which alone,
 * apart from values shared by all rows, a few pointwise operators compute that input. Empty for any other node.
 */
export function rowSumBases(node: Node): readonly Node[] {
  if (!isOp(node, "sum") || node.attrs.axes.length !== 1) return [];
  const { shape } = typeOf(node.inputs[0]);
  if (node.attrs.axes[0] !== shape.length - 1 || !hasRows(node.inputs[0]) || packedAxis(shape.at(-1)!) !== null)
    return [];
  const bases: Node[] = [];
  let pending = new Set([node.inputs[0]]);
  for (let count = 0; count <= MAX_OPERATIONS; count++) {
    const [only, ...others] = pending;
    if (
      only &&
      others.length === 0 &&
      typeOf(only).shape.length === shape.length &&
      (!isOp(only, "take") || only.attrs.dim < shape.length - 1)
    )
      bases.push(only);
    // Expand a pointwise node that no other pending node reads: readers before inputs.
    const next = [...pending].find((n) => isPointwise(n) && ![...pending].some((other) => other.inputs.includes(n)));
    if (!next) break;
    pending = new Set([...pending, ...next.inputs.filter(hasRows)]);
    pending.delete(next);
  }
  return bases;
}

/** The last of the row-sum bases, if it is not the result of a pointwise operator; else null. */
export function rowSumOf(node: Node): Node | null {
  const last = rowSumBases(node).at(-1);
  return last && !isPointwise(last) ? last : null;
}

/** Whether a value has a packed dimension. */
export const hasRows = (node: Node): boolean => typeOf(node).shape.some((s) => packedAxis(s) !== null);

/** Recomputes `node`, a pointwise expression over `base`, with `x` in place of `base`. */
export function substituteBase(node: Node, base: Node, x: Node, emit: Emit): Node {
  if (node === base) return x;
  if (!hasRows(node)) return node;
  return emit(
    node.op,
    node.inputs.map((n) => substituteBase(n, base, x, emit)),
    node.attrs,
  );
}
