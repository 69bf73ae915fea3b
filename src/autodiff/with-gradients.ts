// An objective with the gradient of its loss for every weight among its results.
import { bug } from "../base/invariant.js";
import { createEmit } from "../ir/build.js";
import { isOp, nodesOf, typeOf, type Graph, type GraphOutput } from "../ir/graph.js";
import { reachedStarts } from "../ir/reach.js";
import { ops } from "../ops/index.js";
import { gradients } from "./gradients.js";

/**
 * `grad.<path>` for each weight of floats that the objective reads: zeros where its loss is no function of it. The
 * graph must have a loss.
 */
export function withGradients(graph: Graph): Graph {
  const loss = graph.outputs.find((o) => o.role === "loss" && o.name === "loss");
  if (!loss) bug("a graph without a loss has no gradients");
  const emit = createEmit(ops, graph.axes);
  const weights = nodesOf(graph).filter((n) => isOp(n, "weight") && n.attrs.dtype === "f32");
  const found = gradients(emit, loss.node, weights);
  const outputs = weights.map((node): GraphOutput => {
    const { dtype, shape } = typeOf(node);
    const path = isOp(node, "weight") ? node.attrs.path : "";
    return {
      name: `grad.${path}`,
      role: "result",
      node: found.get(node) ?? emit.node("constant", [], { value: 0, dtype, shape }),
      shape,
      packing: null,
    };
  });
  const made = { ...graph, outputs: [...graph.outputs, ...outputs] };
  return { ...made, starts: reachedStarts(made, (axis) => graph.starts.get(axis) ?? null) };
}
