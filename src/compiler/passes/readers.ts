// Finds the values that the caller reads.
import { isAlias, resultNodes, type Graph, type Node } from "../ir/graph.js";

/** The nodes whose memory the caller reads: outputs, new states and starts, traced through views. */
export function callerReads(graph: Graph): ReadonlySet<Node> {
  const read = new Set<Node>();
  for (const root of [...resultNodes(graph), ...graph.starts.values()]) {
    let node = root;
    while (!read.has(node)) {
      read.add(node);
      if (!isAlias(node)) break;
      node = node.inputs[0]!;
    }
  }
  return read;
}
