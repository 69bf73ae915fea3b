// Finds gathers of rows that are copied: of values overwritten before their last read, and of last rows with several
// readers.
import { isView, isOp, isSameView, isScatter, type Node } from "../../ir/graph.js";
import { readersOf } from "../../../ground/base/collections.js";

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

/**
 * Gathers that the backward pass reads, of streams that routed layers update: without a copy of these few rows, all
 * rows would have to be copied. Linear in the nodes, except for rows that are updated often.
 */
export function keptRows(order: readonly Node[]): ReadonlySet<Node> {
  const updates = order.filter((n) => isScatter(n) && n.inputs[0].inputs.length > 0);
  if (updates.length === 0) return new Set();
  const positions = new Map(order.map((n, i) => [n, i]));
  const readers = readersOf(order);
  const kept = new Set<Node>();
  for (const update of updates) {
    const late = lateReaders(memoryOf(update.inputs[0]), positions.get(update)!, readers, positions);
    if (late.every((take) => take !== null)) for (const take of late) kept.add(take);
  }
  return kept;
}

/** For each later reader of a value's memory, the gather through which it reads; null if the reader reads all rows. */
function lateReaders(
  value: Node,
  at: number,
  readers: ReadonlyMap<Node, readonly Node[]>,
  positions: ReadonlyMap<Node, number>,
): readonly (Node | null)[] {
  const found: (Node | null)[] = [];
  const stack: { readonly node: Node; readonly take: Node | null }[] = [{ node: value, take: null }];
  for (let top = stack.pop(); top; top = stack.pop())
    for (const reader of readers.get(top.node) ?? []) {
      if (isView(reader) && reader.inputs[0] === top.node)
        stack.push({ node: reader, take: top.take ?? (isOp(reader, "take") ? reader : null) });
      else if (positions.get(reader)! > at) found.push(top.take);
    }
  return found;
}

/** The node that a view is a view of. */
function memoryOf(node: Node): Node {
  let at = node;
  while (isSameView(at)) at = at.inputs[0]!;
  return at;
}
