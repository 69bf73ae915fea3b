// Converts weights to states, which a training step can update and the programs of a session can share.
import { createEmit } from "../ir/build.js";
import { isOp, nodesOf, type Graph, type Node, type State } from "../ir/graph.js";
import { ops } from "../ops/index.js";
import { replaceNodes } from "../ir/replace.js";

/** The name of a weight's state: its path. */
export const weightState = (path: string): string => path;

/**
 * Replaces every weight of the graph, except those that `stays` selects, by a state that is initialised with the weight
 * and keeps its value. The results do not change, and sessions of several programs can share the states.
 */
export function weightsAsStates(graph: Graph, stays: (path: string) => boolean = () => false): Graph {
  const emit = createEmit(ops, graph.axes);
  const states = new Map<string, State>();
  const replacements = new Map<Node, Node>();
  for (const node of nodesOf(graph)) {
    if (isOp(node, "weight") && !stays(node.attrs.path)) {
      const { path, dtype, shape } = node.attrs;
      const state = emit.node("state", [], { name: weightState(path), dtype, shape }, node.origin);
      states.set(path, {
        name: weightState(path),
        type: { dtype, shape },
        init: { kind: "weight", path },
        next: state,
      });
      replacements.set(node, state);
    } else if (node.inputs.some((n) => replacements.get(n) !== n)) {
      const inputs = node.inputs.map((n) => replacements.get(n)!);
      replacements.set(node, inputs.every((n, i) => n === node.inputs[i]) ? node : { ...node, inputs });
    } else replacements.set(node, node);
  }
  return {
    ...replaceNodes(graph, (node) => replacements.get(node) ?? node),
    states: [...graph.states, ...states.values()],
  };
}
