// The sequence axes that a graph needs: the axes that its nodes mention, and the axes that the starts of these axes
// depend on.
import type { Size } from "../../ground/size/size.js";
import { atomsOf } from "../../ground/size/size.js";
import { isOp, resultNodes, type Graph, type Node } from "./graph.js";

/**
 * The starts of every sequence axis mentioned by a node that is reachable from outputs and states. `startsOf` returns
 * null for axes of another role.
 */
export function reachedStarts(
  graph: Pick<Graph, "outputs" | "states">,
  startsOf: (axis: string) => Node | null,
): ReadonlyMap<string, Node> {
  const starts = new Map<string, Node>();
  const seenAxes = new Set<string>();
  const seen = new Set<Node>();
  const sizes = new Set<Size>();
  const pending: Node[] = [...resultNodes(graph)];
  const mention = (axis: string): void => {
    if (seenAxes.has(axis)) return;
    seenAxes.add(axis);
    const node = startsOf(axis);
    if (!node) return;
    starts.set(axis, node);
    pending.push(node);
  };
  const look = (size: Size): void => {
    if (typeof size === "number" || sizes.has(size)) return;
    sizes.add(size);
    for (const atom of atomsOf(size)) if (atom.kind !== "live") mention(atom.axis);
  };
  for (let node = pending.pop(); node; node = pending.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of node.inputs) pending.push(input);
    if ("axis" in node.attrs && typeof node.attrs.axis === "string") mention(node.attrs.axis);
    for (const { shape } of node.types) for (const size of shape) look(size);
    if (isOp(node, "size")) look(node.attrs.size);
  }
  return starts;
}
