// The order of computation: inputs before readers, and the starts of an axis that only the device knows before what lies along it.
import { nodesOf, type Graph, type Node } from "../ir/graph.js";
import type { Extents } from "./extents.js";

/** These make an axis, so its starts come from them and not before. */
const MAKES_AXIS: ReadonlySet<string> = new Set(["top", "above", "span", "join"]);

export function orderOf(graph: Graph, extents: Extents): readonly Node[] {
  if (!graph.axes.some((a) => extents.onDevice(a.name))) return nodesOf(graph);
  const order: Node[] = [];
  const seen = new Set<Node>();
  const stack: { readonly node: Node; readonly before: readonly Node[]; next: number }[] = [];
  const enter = (node: Node): void => {
    if (seen.has(node)) return;
    seen.add(node);
    stack.push({ node, before: [...node.inputs, ...startsBefore(graph, node, extents)], next: 0 });
  };
  for (const root of [...graph.outputs.map((o) => o.node), ...graph.states.map((s) => s.next), ...graph.starts.values()]) {
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
  return order;
}

function startsBefore(graph: Graph, node: Node, extents: Extents): Node[] {
  if (MAKES_AXIS.has(node.op)) return [];
  const starts: Node[] = [];
  for (const type of node.types)
    for (const size of type.shape) {
      const device = extents.deviceSize(size);
      const made = device && graph.starts.get(device.axis);
      if (made && made !== node) starts.push(made);
    }
  return starts;
}
