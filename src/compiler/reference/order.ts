// The order in which the reference evaluates a graph's nodes.
import { invariant } from "../../ground/base/invariant.js";
import { definedAxis, nodesOf, type Graph, type Node } from "../ir/graph.js";
import { atomsOf } from "../../ground/size/size.js";

/**
 * The nodes of a graph, inputs before readers. A value whose size depends on a choice, such as a fill, comes after the
 * choice, since its count is unknown before.
 */
export function evaluationOrder(graph: Graph): readonly Node[] {
  const order: Node[] = [];
  const done = new Set<Node>();
  const isReady = (node: Node): boolean =>
    node.inputs.every((input) => done.has(input)) &&
    axesMade(node).every((axis) => {
      const start = graph.starts.get(axis);
      return start === undefined || done.has(start);
    });
  let waiting: readonly Node[] = [];
  for (const node of nodesOf(graph)) {
    waiting = [...waiting, node];
    for (let before = -1; before !== waiting.length && waiting.length > 0;) {
      before = waiting.length;
      waiting = waiting.filter((next) => {
        if (!isReady(next)) return true;
        order.push(next);
        done.add(next);
        return false;
      });
    }
  }
  invariant(waiting.length === 0, "every node can be evaluated");
  return order;
}

/** Axes in the sizes of a node's results that none of its inputs has and that the node does not define. */
function axesMade(node: Node): readonly string[] {
  const { inputs, types } = node;
  const found = axesOf(types);
  if (found.length === 0) return found;
  const given = new Set([...inputs.flatMap((input) => axesOf(input.types)), definedAxis(node)?.axis]);
  return found.filter((axis) => !given.has(axis));
}

const axesOf = (types: Node["types"]): readonly string[] =>
  types.flatMap(({ shape }) => shape.flatMap((size) => [...atomsOf(size)].flatMap((a) => ("axis" in a ? a.axis : []))));
