// Common subexpressions: nodes with the same operator, inputs and attributes become one.
import type { Graph, Node } from "../ir/graph.js";
import { attrsKey } from "../ir/key.js";
import { mapGraph, type Trace } from "./rewrite.js";

/** Every node that equals an earlier one is replaced by it. `barrier` stays apart: that is what it is for. */
export function cse(graph: Graph, trace: Trace | null): Graph {
  const ids = new Map<Node, number>();
  const first = new Map<string, Node>();
  const idOf = (node: Node): number => {
    let id = ids.get(node);
    if (id === undefined) ids.set(node, (id = ids.size));
    return id;
  };
  return mapGraph(graph, (node) => {
    if (node.op === "barrier") return node;
    const key = `${node.op}(${node.inputs.map(idOf).join(",")})${attrsKey(node.attrs)}`;
    const known = first.get(key);
    if (!known) first.set(key, node);
    else if (known !== node) trace?.("same-node", node, known);
    return known ?? node;
  });
}
