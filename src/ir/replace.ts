// A graph whose nodes are others: outputs, states and starts follow.
import type { Graph, Node } from "./graph.js";
import { reachedStarts } from "./reach.js";

/** The graph made of the nodes that stand for its own. */
export function replaceNodes(graph: Graph, now: (node: Node) => Node): Graph {
  const outputs = graph.outputs.map((o) => ({ ...o, node: now(o.node) }));
  const states = graph.states.map((s) => ({ ...s, next: now(s.next) }));
  const starts = reachedStarts({ outputs, states }, (axis) => {
    const node = graph.starts.get(axis);
    return node ? now(node) : null;
  });
  // An input that nothing reads is in no order of evaluation and stays as it is.
  const inputs = graph.inputs.map((i) => ({ ...i, node: now(i.node) as Node<"input"> }));
  return { ...graph, inputs, outputs, states, starts };
}
