// The walk is linear in the nodes and needs no deep stack.
import { describe, expect, it } from "vitest";
import { gradients } from "../../../src/compiler/autodiff/gradients.js";
import { createEmit } from "../../../src/compiler/ir/build.js";
import { isOp, nodesOf, nodesReaching, type Node } from "../../../src/compiler/ir/graph.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { deepGraph } from "../passes/random-graphs.js";
import { soaking } from "../../soak.js";

/** Counts the nodes in the gradients of a model with `layers` layers, recomputing every layer or no layer. */
function backwardNodes(layers: number, again: boolean): number {
  const graph = deepGraph(layers);
  const weights = nodesOf(graph).filter((n) => isOp(n, "weight"));
  const emit = createEmit(ops, graph.axes);
  const origin = { path: "layers.0", span: { file: "deep.mod", start: 0, end: 0 } };
  // The same nodes with a place, for layers go by call paths.
  const placed = new Map<Node, Node>();
  for (const node of nodesOf(graph))
    placed.set(node, { ...node, inputs: node.inputs.map((n) => placed.get(n)!), origin });
  const last = placed.get(graph.outputs[0]!.node)!;
  const loss = emit.node("sum", [last], { axes: [0, 1], keep: false });
  const found = gradients(
    emit,
    loss,
    weights.map((w) => placed.get(w)!),
    again ? { recompute: () => "all" } : {},
  );
  expect(found.size).toBe(layers);
  return nodesReaching([...found.values()]).length;
}

describe("gradients of thousands of layers", () => {
  it.each([false, true])("grow with the layers and no faster (computed again: %s)", { tags: "long" }, (again) => {
    const few = again && !soaking ? 500 : 1000;
    const [some, more] = [backwardNodes(few, again), backwardNodes(4 * few, again)];
    expect(more).toBeLessThan(4.1 * some);
  });
});
