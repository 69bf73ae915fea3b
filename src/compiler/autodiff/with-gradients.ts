// Adds the gradients of the loss with respect to every weight to the results of an objective.
import { bug } from "../../ground/base/invariant.js";
import { createEmit } from "../ir/build.js";
import { isOp, nodesOf, typeOf, type Graph, type GraphOutput, type Node } from "../ir/graph.js";
import { reachedStarts } from "../ir/reach.js";
import type { TensorType } from "../ir/types.js";
import { ops } from "../ops/index.js";
import { gradients } from "./gradients.js";
import type { DeclaredWeight } from "./train-step.js";

/**
 * Adds a result `grad.<path>` for each float weight of the model: zeros for a weight on which the loss does not depend,
 * even if nothing reads the weight. The graph must have a loss. `declared`: all weights and states of the model; states
 * have no gradient.
 */
export function withGradients(graph: Graph, declared: readonly DeclaredWeight[]): Graph {
  const loss = graph.outputs.find((o) => o.role === "loss" && o.name === "loss");
  if (!loss) bug("a graph without a loss has no gradients");
  const emit = createEmit(ops, graph.axes);
  const states = new Set(declared.flatMap(({ kind, path }) => (kind === "state" ? [path] : [])));
  const weights = nodesOf(graph).filter(
    (n) => isOp(n, "weight") && n.attrs.dtype === "f32" && !states.has(n.attrs.path),
  );
  const gradientOf = gradients(emit, loss.node, weights);
  const result = (path: string, { dtype, shape }: TensorType, gradient: Node | undefined): GraphOutput => ({
    name: `grad.${path}`,
    role: "result",
    node: gradient ?? emit.node("constant", [], { value: 0, dtype, shape }),
    shape,
    packing: null,
  });
  const pathOf = (node: Node): string => (isOp(node, "weight") ? node.attrs.path : "");
  const read = new Set(weights.map(pathOf));
  const outputs = [
    ...weights.map((node) => result(pathOf(node), typeOf(node), gradientOf.get(node))),
    ...declared
      .filter(({ kind, path, dtype }) => kind === "weight" && dtype === "f32" && !read.has(path))
      .map(({ path, dtype, shape }) => result(path, { dtype, shape }, undefined)),
  ];
  const withResults = { ...graph, outputs: [...graph.outputs, ...outputs] };
  return { ...withResults, starts: reachedStarts(withResults, (axis) => graph.starts.get(axis) ?? null) };
}
