// Who reads a value.
import type { Graph, Node } from "../ir/graph.js";
import { ops } from "../ops/index.js";

/** The nodes whose memory the caller reads: outputs, new states and starts, looked at through views. */
export function callerReads(graph: Graph): ReadonlySet<Node> {
  const read = new Set<Node>();
  for (const root of [...graph.outputs.map((o) => o.node), ...graph.states.map((s) => s.next), ...graph.starts.values()]) {
    let node = root;
    while (!read.has(node)) {
      read.add(node);
      if (ops[node.op].lower.kind !== "view") break;
      node = node.inputs[0]!;
    }
  }
  return read;
}
