// Common subexpression elimination: merges nodes with equal operator, inputs and attributes.
import { isOp, nodesOf, type Graph, type Node } from "../ir/graph.js";
import { attrsKey } from "../ir/key.js";
import type { OpName } from "../ir/vocabulary.js";
import { mapGraph, type Trace } from "./rewrite.js";

/**
 * Replaces every node by an equal earlier node, and `attention` by an `attention_kept` with the same inputs. Barriers
 * are not merged, since their purpose is to separate.
 */
export function cse(graph: Graph, trace: Trace | null): Graph {
  const keyOf = keys();
  const hasStatistics = keptAttention(graph);
  const first = new Map<string, Node>();
  const once = (node: Node): Node => {
    const key = keyOf(node.op, node);
    const known = first.get(key);
    if (!known) first.set(key, node);
    else if (known !== node) trace?.("same-node", node, known);
    return known ?? node;
  };
  return mapGraph(graph, (node, emit, before) => {
    if (node.op === "barrier") return node;
    if (!isOp(node, "attention") || !hasStatistics(before)) return once(node);
    const picked = once(
      emit(node)("pick", [once(emit(node)("attention_kept", node.inputs, node.attrs))], { result: 0 }),
    );
    trace?.("same-attention", node, picked);
    return picked;
  });
}

/** Returns a function whose keys are equal for nodes with equal results. */
function keys(): (op: OpName, node: Node) => string {
  const ids = new Map<Node, number>();
  const idOf = (node: Node): number => {
    let id = ids.get(node);
    if (id === undefined) ids.set(node, (id = ids.size));
    return id;
  };
  return (op, node) => `${op}(${node.inputs.map(idOf).join(",")})${attrsKey(node.attrs)}`;
}

/** Whether the graph contains an `attention_kept` with the inputs of an attention. */
function keptAttention(graph: Graph): (attention: Node) => boolean {
  const keyOf = keys();
  const found = new Set(
    nodesOf(graph).flatMap((node) => (isOp(node, "attention_kept") ? [keyOf("attention", node)] : [])),
  );
  return (attention) => found.has(keyOf("attention", attention));
}
