// Fuses the addition to the residual stream into the sum of a row's entries.
import { readersOf } from "../../ground/base/collections.js";
import { isOp, nodesOf, typeOf, type Graph, type Node } from "../ir/graph.js";
import { equalShapes } from "../ir/typing.js";
import { operandsOf } from "../ops/groups.js";
import { mapGraph, type Trace } from "./rewrite.js";

/** x + sum_entries(y, …) → sum_entries(y, …, x), if nothing else reads the sum. */
export function addedEntries(graph: Graph, trace: Trace | null): Graph {
  const nodes = nodesOf(graph);
  if (!nodes.some((n) => isOp(n, "sum_entries"))) return graph;
  const readers = readersOf(nodes);
  const results = new Set<Node>([...graph.outputs.map((o) => o.node), ...graph.states.map((s) => s.next)]);
  const isReadOnce = (node: Node): boolean => readers.get(node)!.length === 1 && !results.has(node);
  return mapGraph(graph, (node, emitFrom, before) => {
    if (!isOp(node, "add")) return node;
    for (const at of [0, 1] as const) {
      const sum = sumBehind(node.inputs[at], before.inputs[at], isReadOnce);
      const x = node.inputs[1 - at]!;
      if (!sum || !equalShapes(typeOf(x).shape, typeOf(sum).shape)) continue;
      const [y, place, index] = sum.inputs;
      const { listed } = operandsOf(sum.inputs, sum.attrs.groups);
      const inputs = listed ? ([y, place, index, x, listed] as const) : ([y, place, index, x] as const);
      const added = emitFrom(node)("sum_entries", inputs, sum.attrs);
      trace?.("added-entries", node, added);
      return added;
    }
    return node;
  });
}

/** The `sum_entries` whose result a value is, up to reshapes; null if the sum has another reader. */
function sumBehind(node: Node, before: Node, isReadOnce: (before: Node) => boolean): Node<"sum_entries"> | null {
  let [n, old] = [node, before];
  while (isReadOnce(old) && isOp(n, "reshape") && isOp(old, "reshape")) [n, old] = [n.inputs[0], old.inputs[0]];
  return isReadOnce(old) && isOp(n, "sum_entries") && operandsOf(n.inputs, n.attrs.groups).x === null ? n : null;
}
