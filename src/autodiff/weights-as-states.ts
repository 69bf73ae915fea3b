// Weights become states: they outlive a run, a training step replaces them, and programs that share a session's states
// share its weights.
import { createEmit } from "../ir/build.js";
import { isOp, nodesOf, type Graph, type Node, type State } from "../ir/graph.js";
import { ops } from "../ops/index.js";
import { replaceNodes } from "../ir/replace.js";

/** The name of the state that holds a weight: its path. */
export const weightState = (path: string): string => path;

/**
 * The graph with every weight it reads a state that begins as that weight and keeps its value. What such a program
 * computes is what the graph does; a session may share the states of another.
 */
export function weightsAsStates(graph: Graph): Graph {
  const emit = createEmit(ops, graph.axes);
  const states = new Map<string, State>();
  const now = new Map<Node, Node>();
  for (const node of nodesOf(graph)) {
    if (isOp(node, "weight")) {
      const { path, dtype, shape } = node.attrs;
      const state = emit.node("state", [], { name: weightState(path), dtype, shape }, node.origin);
      states.set(path, {
        name: weightState(path),
        type: { dtype, shape },
        init: { kind: "weight", path },
        next: state,
      });
      now.set(node, state);
    } else if (node.inputs.some((n) => now.get(n) !== n)) {
      const inputs = node.inputs.map((n) => now.get(n)!);
      now.set(node, inputs.every((n, i) => n === node.inputs[i]) ? node : { ...node, inputs });
    } else now.set(node, node);
  }
  return { ...replaceNodes(graph, (node) => now.get(node) ?? node), states: [...graph.states, ...states.values()] };
}
