// Adds the sum of a row's entries to the residual stream while it is formed.
import { readersOf } from "../base/collections.js";
import { isOp, nodesOf, typeOf, type Graph, type Node } from "../ir/graph.js";
import { equalShapes } from "../ir/typing.js";
import { mapGraph, type Trace } from "./rewrite.js";

/** x + sum_entries(y, …) → sum_entries(y, …, x), where nothing else reads the sum. */
export function addedEntries(graph: Graph, trace: Trace | null): Graph {
  const nodes = nodesOf(graph);
  if (!nodes.some((n) => isOp(n, "sum_entries"))) return graph;
  const readers = readersOf(nodes);
  const results = new Set<Node>([...graph.outputs.map((o) => o.node), ...graph.states.map((s) => s.next)]);
  const isSum = (n: Node, before: Node): n is Node<"sum_entries"> =>
    isOp(n, "sum_entries") && n.inputs.length === 3 && readers.get(before)!.length === 1 && !results.has(before);
  return mapGraph(graph, (node, emitFrom, before) => {
    if (!isOp(node, "add")) return node;
    const at = node.inputs.findIndex((n, i) => isSum(n, before.inputs[i]!));
    const [sum, x] = [node.inputs[at], node.inputs[1 - at]];
    if (!sum || !x || !equalShapes(typeOf(x).shape, typeOf(sum).shape)) return node;
    const [y, place, index] = sum.inputs as Node<"sum_entries">["inputs"]; // as `isSum` says
    const added = emitFrom(node)("sum_entries", [y, place, index, x], {});
    trace?.("added-entries", node, added);
    return added;
  });
}
