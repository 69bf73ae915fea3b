// Rewrites attention whose keys weigh 1 on a route and 0 elsewhere into attention over the route's keys.
import { createEmit } from "../ir/build.js";
import { isOp, nodesOf, typeOf, type Graph, type Node } from "../ir/graph.js";
import { replaceNodes } from "../ir/replace.js";
import { packedAxis } from "../ir/typing.js";
import { ops } from "../ops/index.js";

/** A route whose mask is used as the key weights: its row index, and its starts. */
interface Keys {
  readonly index: Node;
  readonly starts: Node;
}

/**
 * Replaces the keys of each such attention by the route's keys. Only these keys are then computed, and cached when
 * generating. Calls `found` with the nodes before and after.
 */
export function withKeysOfMasks(graph: Graph, found: (before: Node, after: Node) => void = () => {}): Graph {
  const nodes = nodesOf(graph);
  if (!nodes.some((node) => keysOf(graph, node))) return graph;
  const emit = createEmit(ops, graph.axes);
  const done = new Map<Node, Node>();
  // The starts may come after the attention in node order, but the node they are a result of comes before it.
  const now = (node: Node): Node => {
    const known = done.get(node);
    if (known) return known;
    const inputs = node.inputs.map(now);
    const moved = inputs.every((n, i) => n === node.inputs[i]) ? node : { ...node, inputs };
    done.set(node, moved);
    return moved;
  };
  for (const node of nodes) {
    const keys = keysOf(graph, node);
    if (!keys || !isOp(node, "attention")) {
      now(node);
      continue;
    }
    const [q, k, v, startsQ, , positionsQ, positionsK] = node.inputs;
    const rows = (x: Node, dim: number): Node => emit.node("take", [now(x), now(keys.index)], { dim }, node.origin);
    const both = [now(startsQ), now(keys.starts), now(positionsQ), rows(positionsK, 0)] as const;
    const after = emit.node("attention", [now(q), rows(k, 1), rows(v, 1), ...both], node.attrs, node.origin);
    done.set(node, after);
    found(node, after);
  }
  return replaceNodes(graph, (node) => done.get(node) ?? node);
}

function keysOf(graph: Graph, node: Node): Keys | null {
  if (!isOp(node, "attention")) return null;
  let weight = node.inputs[7];
  while (weight && (isOp(weight, "straight") || isOp(weight, "stop_gradient") || isMaskAsNumber(weight)))
    weight = weight.inputs[0];
  const index = weight && isOp(weight, "route_mask") ? weight.inputs[0] : null;
  const axis = index && packedAxis(typeOf(index).shape[0]!);
  const starts = axis ? graph.starts.get(axis) : undefined;
  return index && starts ? { index, starts } : null;
}

const isMaskAsNumber = (node: Node): boolean => isOp(node, "cast") && typeOf(node.inputs[0]).dtype === "bool";
