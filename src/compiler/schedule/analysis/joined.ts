// Finds concatenations of results that the host performs instead of the device.
import { isOp, type Graph, type Node } from "../../ir/graph.js";
import { widthOf } from "./extents.js";

/** Concatenations along the last dimension that only the caller reads. */
export function joinedByReader(graph: Graph, order: readonly Node[]): ReadonlySet<Node> {
  const read = new Set([
    ...order.flatMap((n) => n.inputs),
    ...graph.states.map((s) => s.next),
    ...graph.starts.values(),
  ]);
  const results = graph.outputs.map((o) => o.node);
  return new Set(
    results.filter(
      (n) =>
        isOp(n, "concat") &&
        n.attrs.axis === n.types[0]!.shape.length - 1 &&
        n.inputs.every((i) => widthOf(i) > 0) &&
        !read.has(n),
    ),
  );
}
