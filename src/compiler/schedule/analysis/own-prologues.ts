// Duplicates a norm that only products read: the router and the experts' first layer. Each product then computes the
// norm as it loads, like the single product of a dense layer.
import { readersOf } from "../../../ground/base/collections.js";
import { isOp, isPointwise, nodesOf, resultNodes, type Graph, type Node } from "../../ir/graph.js";
import { mapGraph } from "../../passes/rewrite.js";
import { isSingleProduct } from "./consumers.js";

/** Duplicates cheap values of rows that several products share, so that each product has a copy. */
export function ownPrologues(graph: Graph, isCheap: (node: Node) => boolean): Graph {
  const nodes = nodesOf(graph);
  if (!nodes.some((n) => isOp(n, "grouped_matmul"))) return graph;
  const readers = readersOf(nodes);
  const results = new Set<Node>(resultNodes(graph));
  const readersAt = (node: Node): readonly Node[] => (results.has(node) ? [] : (readers.get(node) ?? []));
  const gathers = (node: Node): boolean => {
    const [product, ...more] = readersAt(node);
    return isOp(node, "entry_rows") && more.length === 0 && product?.op === "grouped_matmul" && loads(product, node);
  };
  const isShared = (value: Node): boolean => {
    const all = readersAt(value);
    const areProducts = all.every((r) => loads(r, value) && (isSingleProduct(r) || gathers(r)));
    return areProducts && all.length > 1 && all.some(gathers);
  };
  /** The cheap nodes that are computed for the value alone. They may be computed again. */
  const chainOf = (value: Node): ReadonlySet<Node> => {
    const chain = new Set<Node>([value]);
    for (const n of chain)
      for (const from of n.inputs) if (joins(from) && readersAt(from).every((r) => chain.has(r))) chain.add(from);
    return chain;
  };
  const joins = (node: Node): boolean => isPointwise(node) && isCheap(node) && !results.has(node);
  const chains = new Map(nodes.flatMap((n) => (joins(n) && isShared(n) ? [[n, chainOf(n)] as const] : [])));
  if (chains.size === 0) return graph;
  const now = new Map<Node, Node>();
  return mapGraph(graph, (node, _emit, before) => {
    const [value] = before.inputs;
    const chain = value && chains.get(value);
    const copy = (n: Node): Node => (chain?.has(n) ? { ...n, inputs: n.inputs.map(copy) } : (now.get(n) ?? n));
    const copies = chain && before !== readers.get(value)![0];
    const reader = copies ? { ...node, inputs: node.inputs.with(0, copy(value)) } : node;
    now.set(before, reader);
    return reader;
  });
}

/** Whether the node reads the value as its rows, and nowhere else. */
const loads = (node: Node, value: Node): boolean => node.inputs.every((from, i) => (from === value) === (i === 0));
