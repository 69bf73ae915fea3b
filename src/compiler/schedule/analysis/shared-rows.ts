// Finds gathers of last rows that several kernels read. They are copied once, so that the kernels read plain rows, as
// in other layers, and are equal to those.
import { isView, isOp, type Node } from "../../ir/graph.js";

/** The gathers of last rows that several operators read, seen through structure. */
export function sharedRows(order: readonly Node[]): ReadonlySet<Node> {
  /** The readers of each gather, including readers through structure. */
  const readers = new Map<Node, Set<Node>>();
  const taken: Node[] = [];
  for (const node of order) {
    if (isOp(node, "take") && isOp(node.inputs[1], "last")) {
      readers.set(node, new Set());
      taken.push(node);
      continue;
    }
    for (const input of node.inputs) {
      const known = readers.get(input);
      if (!known) continue;
      if (isView(node)) readers.set(node, known);
      else known.add(node);
    }
  }
  return new Set(taken.filter((take) => readers.get(take)!.size > 1));
}
