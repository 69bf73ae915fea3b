// Last rows that several kernels read are copied once: those kernels then read rows where they lie, as in other layers,
// and are the same.
import { isView, isOp, type Node } from "../../ir/graph.js";

/** The gathers of last rows that several operators read, whatever structure stands between. */
export function sharedRows(order: readonly Node[]): ReadonlySet<Node> {
  /** Of such a gather, and of structure behind it. */
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
