// Drafting by depth: the model without its routed blocks drafts tokens, and the whole model then verifies all of them
// in one run. Both use the same caches, so that accepted tokens are read once (self-speculative decoding: Zhang et al.
// 2023, arXiv 2309.08168; Elhoushi et al. 2024, arXiv 2404.16710).
import { isOp, nodesOf, typeOf, type Graph, type Node } from "../ir/graph.js";
import { reachedStarts } from "../ir/reach.js";

/**
 * The graph in which no token takes a route: each `put` of a route becomes a view of its base. The view is another node
 * than the base, because generation keeps different states of both. Null if there is no route, or if another operator
 * reads a route.
 */
export function withoutRoutes(graph: Graph): Graph | null {
  const now = new Map<Node, Node>();
  let skipped = false;
  for (const node of nodesOf(graph)) {
    if (isPutOfRoute(node)) {
      const base = now.get(node.inputs[0])!;
      now.set(node, { ...base, op: "reshape", inputs: [base], attrs: { shape: typeOf(base).shape } });
      skipped = true;
      continue;
    }
    const inputs = node.inputs.map((n) => now.get(n)!);
    now.set(node, inputs.every((n, i) => n === node.inputs[i]) ? node : { ...node, inputs });
  }
  if (!skipped) return null;
  const outputs = graph.outputs.map((o) => ({ ...o, node: now.get(o.node)! }));
  const starts = reachedStarts({ outputs, states: [] }, (axis) => {
    const node = graph.starts.get(axis);
    return node ? (now.get(node) ?? node) : null;
  });
  const draft = { ...graph, outputs, starts };
  return nodesOf(draft).some((node) => isOp(node, "above")) ? null : draft;
}

/** Whether the node scatters rows chosen by `above` back to the stream. */
function isPutOfRoute(node: Node): boolean {
  if (!isOp(node, "put") && !isOp(node, "set")) return false;
  const [, index] = node.inputs;
  return isOp(index, "pick") && index.attrs.result === 0 && isOp(index.inputs[0], "above");
}
