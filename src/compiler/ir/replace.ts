// Replaces nodes of a graph; outputs, states and starts refer to the replacements.
import { nodesOf, type Graph, type Node } from "./graph.js";
import { reachedStarts } from "./reach.js";

/** Maps every node of the graph's interface with `now`. */
export function replaceNodes(graph: Graph, now: (node: Node) => Node): Graph {
  const outputs = graph.outputs.map((o) => ({ ...o, node: now(o.node) }));
  const states = graph.states.map((s) => ({ ...s, next: now(s.next) }));
  const starts = reachedStarts({ outputs, states }, (axis) => {
    const node = graph.starts.get(axis);
    return node ? now(node) : null;
  });
  // An unread input is not reachable and stays unchanged.
  const inputs = graph.inputs.map((i) => ({ ...i, node: now(i.node) as Node<"input"> }));
  return { ...graph, inputs, outputs, states, starts };
}

/** Substitutes nodes of equal types for nodes, and rebuilds every node that depends on them. */
export function substituteNodes(graph: Graph, others: ReadonlyMap<Node, Node>): Graph {
  const now = new Map<Node, Node>();
  for (const node of nodesOf(graph)) {
    const inputs = node.inputs.map((n) => now.get(n)!);
    now.set(node, others.get(node) ?? (inputs.every((n, i) => n === node.inputs[i]) ? node : { ...node, inputs }));
  }
  return replaceNodes(graph, (node) => now.get(node) ?? node);
}
