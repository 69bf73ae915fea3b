// The order of computation: inputs before readers; the starts of an axis that only the device counts before values
// along it; integer values come as early as possible.
import { addTo } from "../../../ground/base/collections.js";
import { isOp, nodesOf, resultNodes, type Graph, type Node } from "../../ir/graph.js";
import type { Extents } from "./extents.js";

export function orderOf(graph: Graph, extents: Extents): readonly Node[] {
  if (!graph.axes.some((a) => extents.onDevice(a.name))) return numbersFirst(nodesOf(graph), () => []);
  const order: Node[] = [];
  const seen = new Set<Node>();
  const stack: { readonly node: Node; readonly before: readonly Node[]; next: number }[] = [];
  const enter = (node: Node): void => {
    if (seen.has(node)) return;
    seen.add(node);
    stack.push({ node, before: [...node.inputs, ...startsBefore(graph, node, extents)], next: 0 });
  };
  for (const root of [...resultNodes(graph), ...graph.starts.values()]) {
    enter(root);
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const before = top.before[top.next++];
      if (before) enter(before);
      else {
        order.push(top.node);
        stack.pop();
      }
    }
  }
  return numbersFirst(order, (node) => startsBefore(graph, node, extents));
}

function startsBefore(graph: Graph, node: Node, extents: Extents): Node[] {
  const starts: Node[] = [];
  for (const type of node.types)
    for (const size of type.shape) {
      const device = extents.deviceSize(size);
      const startsNode = device && graph.starts.get(device.axis);
      // The node that creates an axis computes its starts.
      if (startsNode && startsNode !== node && !(isOp(startsNode, "pick") && startsNode.inputs[0] === node))
        starts.push(startsNode);
    }
  return starts;
}

/** Whether a node is an integer for each row: a position or a destination index. */
const isNumberOfRows = ({ inputs, types }: Node): boolean =>
  inputs.length > 0 &&
  types.length === 1 &&
  types[0]!.shape.length === 1 &&
  (types[0]!.dtype === "u32" || types[0]!.dtype === "i32");

/**
 * The same order with integers of rows moved as early as their inputs allow: product kernels rotate and scatter rows by
 * them, which requires that they come first.
 */
function numbersFirst(order: readonly Node[], startsOf: (node: Node) => readonly Node[]): readonly Node[] {
  const ordered: Node[] = [];
  const done = new Set<Node>();
  const missing = new Map<Node, number>();
  const waiting = new Map<Node, Node[]>();
  for (const node of order) {
    if (!isNumberOfRows(node)) continue;
    const needs = [...new Set([...node.inputs, ...startsOf(node)])].filter((n) => n.inputs.length > 0);
    missing.set(node, needs.length);
    for (const n of needs) addTo(waiting, n, node);
  }
  const enter = (first: Node): void => {
    const stack = [first];
    for (let node = stack.pop(); node; node = stack.pop()) {
      if (done.has(node)) continue;
      done.add(node);
      // Sources have no inputs: a source comes directly before its first reader.
      for (const n of node.inputs) {
        if (done.has(n)) continue;
        done.add(n);
        ordered.push(n);
      }
      ordered.push(node);
      for (const n of waiting.get(node) ?? []) {
        const left = missing.get(n)! - 1;
        missing.set(n, left);
        if (left === 0) stack.push(n);
      }
    }
  };
  for (const [node, left] of missing) if (left === 0) enter(node);
  for (const node of order) enter(node);
  return ordered;
}
