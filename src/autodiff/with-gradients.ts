// Adds the gradients of the loss with respect to every weight to the results of an objective.
import { bug } from "../base/invariant.js";
import { createEmit } from "../ir/build.js";
import { isOp, nodesOf, typeOf, type Graph, type GraphOutput } from "../ir/graph.js";
import { reachedStarts } from "../ir/reach.js";
import { ops } from "../ops/index.js";
import { gradients } from "./gradients.js";

/**
 * Adds a result `grad.<path>` for each float weight of the objective: zeros for a weight on which the loss does not
 * depend. The graph must have a loss. `states`: paths of those that are states, which have no gradient.
 */
export function withGradients(graph: Graph, states: ReadonlySet<string> = new Set()): Graph {
  const loss = graph.outputs.find((o) => o.role === "loss" && o.name === "loss");
  if (!loss) bug("a graph without a loss has no gradients");
  const emit = createEmit(ops, graph.axes);
  const weights = nodesOf(graph).filter(
    (n) => isOp(n, "weight") && n.attrs.dtype === "f32" && !states.has(n.attrs.path),
  );
  const gradientOf = gradients(emit, loss.node, weights);
  const outputs = weights.map((node): GraphOutput => {
    const { dtype, shape } = typeOf(node);
    const path = isOp(node, "weight") ? node.attrs.path : "";
    return {
      name: `grad.${path}`,
      role: "result",
      node: gradientOf.get(node) ?? emit.node("constant", [], { value: 0, dtype, shape }),
      shape,
      packing: null,
    };
  });
  const withResults = { ...graph, outputs: [...graph.outputs, ...outputs] };
  return { ...withResults, starts: reachedStarts(withResults, (axis) => graph.starts.get(axis) ?? null) };
}
