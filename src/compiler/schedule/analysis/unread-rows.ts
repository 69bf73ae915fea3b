// Finds unread rows that belong to no group, which products need not write: entries whose expert does nothing.
import { readersOf } from "../../../ground/base/collections.js";
import { isOp, isPointwise, nodesOf, producerOf, typeOf, resultNodes, type Graph, type Node } from "../../ir/graph.js";
import { operandsOf } from "../../ops/groups.js";
import { mapGraph } from "../../passes/rewrite.js";
import { equalSizes } from "../../../ground/size/size.js";

/** The graph in which products of groups say where nothing reads their rows of no group. */
export function unreadRows(graph: Graph): Graph {
  const nodes = nodesOf(graph);
  if (!nodes.some((n) => isOp(n, "grouped_matmul"))) return graph;
  const readers = readersOf(nodes);
  const results = new Set<Node>(resultNodes(graph));
  const known = new Map<Node, Map<Node, boolean>>();
  /** Whether nothing reads the rows of a value after the last group. Groups begin at `starts`. */
  const areUnread = (value: Node, starts: Node): boolean => {
    const byValue = known.get(starts) ?? new Map<Node, boolean>();
    known.set(starts, byValue);
    let isUnread = byValue.get(value);
    if (isUnread === undefined) {
      isUnread = !results.has(value) && readers.get(value)!.every((reader) => spares(reader, value, starts));
      byValue.set(value, isUnread);
    }
    return isUnread;
  };
  const spares = (reader: Node, value: Node, starts: Node): boolean => {
    if (isOp(reader, "grouped_matmul"))
      return reader.inputs[2] === starts && reader.inputs[0] === value && reader.inputs[1] !== value;
    if (isOp(reader, "grouped_contract")) return reader.inputs[2] === starts;
    if (isOp(reader, "sum_entries")) return skipsThem(reader, value, starts);
    // Rowwise results also have rows of no group.
    const isByRow = isPointwise(reader) || (isOp(reader, "slice") && reader.attrs.axis > 0);
    return isByRow && hasRowsOf(reader, value) && areUnread(reader, starts);
  };
  return mapGraph(graph, (node, emitFrom, before) =>
    isOp(node, "grouped_matmul") && isOp(before, "grouped_matmul") && areUnread(before, before.inputs[2])
      ? emitFrom(node)("grouped_matmul", node.inputs, { ...node.attrs, unread: true })
      : node,
  );
}

/** Whether a sum leaves out the entries after the last group. */
function skipsThem(sum: Node<"sum_entries">, value: Node, starts: Node): boolean {
  const { listed } = operandsOf<Node>(sum.inputs, sum.attrs.groups);
  if (!listed || !isOp(listed, "pick") || !isOp(starts, "pick")) return false;
  const sort = producerOf(starts);
  return (
    isOp(sort, "sort_entries") &&
    producerOf(listed) === sort &&
    starts.attrs.result === 3 &&
    listed.attrs.result === 4 &&
    sum.attrs.groups === sort.attrs.groups &&
    sum.inputs.every((input, i) => input !== value || i === 0)
  );
}

function hasRowsOf(reader: Node, value: Node): boolean {
  const [shape, readerShape] = [typeOf(value).shape, typeOf(reader).shape];
  return shape.length === readerShape.length && equalSizes(shape[0]!, readerShape[0]!);
}
