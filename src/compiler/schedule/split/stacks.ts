// Splits stacks of weights that exceed one binding by their groups: each part multiplies the rows of its own groups.
import { countOf } from "../../../ground/base/collections.js";
import { isOp, typeOf, type Graph, type Node } from "../../ir/graph.js";
import type { Limits } from "../../../runtime/program/target.js";
import { mapGraph, type Emit } from "../../passes/rewrite.js";
import { heldB, productWeights, shapeOf } from "../analysis/side-by-side.js";

/** Bytes of a weight's value, as for other weights that are split. */
const WORD = 4;

/** Grouped products by stacks that one binding cannot hold become sums of products by parts, zero for other groups. */
export const splitStacks = (graph: Graph, { storageBindingBytes }: Limits): Graph =>
  mapGraph(graph, (node, emitFrom, before) => {
    if (!isOp(before, "grouped_matmul") || !isOp(node, "grouped_matmul")) return node;
    const most = mostGroups(before, storageBindingBytes);
    return most === null ? node : inParts(node, most, emitFrom(node));
  });

/** The most groups whose matrices a binding holds; null where it holds all, or the stack is none of single weights. */
function mostGroups(product: Node<"grouped_matmul">, limit: number): number | null {
  const weights = productWeights(product);
  const groups = Number(typeOf(product.inputs[1]).shape[0]);
  if (!weights || !isOp(heldB(product), "concat") || weights.length % groups !== 0) return null;
  const bytes = weights.reduce((sum, w) => sum + WORD * countOf(shapeOf(w)), 0);
  return bytes <= limit ? null : Math.max(1, Math.floor(limit / (bytes / groups)));
}

function inParts(product: Node<"grouped_matmul">, most: number, emit: Emit): Node {
  const [a, stack, starts] = product.inputs;
  const [groups, ...matrix] = typeOf(stack).shape.map(Number);
  const weights = heldB(product).inputs;
  const each = weights.length / groups!;
  let sum: Node | null = null;
  for (let first = 0; first < groups!; first += most) {
    const count = Math.min(most, groups! - first);
    const own = weights.slice(first * each, (first + count) * each);
    const joint = own.length === 1 ? own[0]! : emit("concat", own, { axis: 0 });
    const part = emit("reshape", [joint], { shape: [count, ...matrix] });
    const range = emit("slice", [starts], { axis: 0, start: first, stop: first + count + 1 });
    const rows = emit("grouped_matmul", [a, part, range], product.attrs);
    sum = sum ? emit("add", [sum, rows], {}) : rows;
  }
  return sum!;
}
