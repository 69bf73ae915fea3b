// Merges products of the same row groups with several stacks of weights: gate and up of all experts become one product.
import { isOp, nodesOf, typeOf, type Graph, type Node } from "../ir/graph.js";
import { MAX_BYTES } from "./merge-products.js";
import { callerReads } from "./readers.js";
import { mapGraph, type Trace } from "./rewrite.js";

type Product = Node<"grouped_matmul">;

/** A stack of weight matrices, each [columns, depth], one for each group. */
interface Stack {
  readonly weights: readonly Node[];
  readonly columns: number;
  readonly depth: number;
}

/** The columns of a product within the merged product's columns. */
interface Slice {
  readonly stacks: readonly Stack[];
  readonly start: number;
  readonly columns: number;
}

/** The limits for single weights apply: slices are aligned to vectors, and narrow weights are not merged. */
const VECTOR = 4;
const MIN_COLUMNS = 16;

/**
 * a · u, a · v … with the same groups become slices of a · [u v …], which concatenates each group's matrices: every
 * element is the same sum in the same order.
 */
export function mergeStacks(graph: Graph, trace: Trace | null): Graph {
  const slices = slicesOf(graph);
  if (slices.size === 0) return graph;
  return mapGraph(graph, (node, emitFrom, before) => {
    const slice = slices.get(before);
    if (!slice || !isOp(node, "grouped_matmul")) return node;
    const [a, , starts] = node.inputs;
    const { stacks, start, columns } = slice;
    const emit = emitFrom(node);
    const [groups, depth] = [stacks[0]!.weights.length, typeOf(a).shape[1]!];
    const weights = stacks[0]!.weights.flatMap((_, g) => stacks.map((s) => s.weights[g]!));
    const joint = emit("concat", weights, { axis: 0 });
    const shape = [groups, stacks.reduce((n, s) => n + s.columns, 0), depth];
    const product = emit("grouped_matmul", [a, emit("reshape", [joint], { shape }), starts], { transposed: true });
    const columnsOfOne = emit("slice", [product], { axis: 1, start, stop: start + columns });
    trace?.("merge-stacks", node, columnsOfOne);
    return columnsOfOne;
  });
}

/** The place of each merged product. Layers that share their weights multiply several values by one stack. */
function slicesOf(graph: Graph): ReadonlyMap<Node, Slice> {
  const nodes = nodesOf(graph);
  const ids = new Map<Node, number>(nodes.map((node, i) => [node, i]));
  const uses = new Map<Node, Product[]>();
  for (const node of nodes)
    if (isOp(node, "grouped_matmul")) uses.set(node.inputs[1], [...(uses.get(node.inputs[1]) ?? []), node]);
  const stored = callerReads(graph);
  // Stacks with equal keys are multiplied by the same values, in the same groups.
  const alike = new Map<string, { readonly products: readonly Product[]; readonly stack: Stack }[]>();
  for (const products of uses.values()) {
    const [stack] = products.map(stackOf);
    if (!stack || products.some((p) => !p.attrs.transposed || stored.has(p))) continue;
    const rows = products.map(({ inputs: [a, , starts] }) => `${ids.get(a)} ${ids.get(starts)}`).sort();
    const key = `${stack.weights.length} ${stack.weights[0]!.op} ${rows.join()}`;
    alike.set(key, [...(alike.get(key) ?? []), { products, stack }]);
  }
  const slices = new Map<Node, Slice>();
  for (const merged of alike.values()) {
    const stacks = merged.map(({ stack }) => stack);
    // Buffers split stacks between groups, not within a group.
    const bytes = stacks.reduce((n, s) => n + 4 * s.columns * s.depth, 0);
    if (stacks.length < 2 || bytes > MAX_BYTES) continue;
    let start = 0;
    for (const { products, stack } of merged) {
      for (const node of products) slices.set(node, { stacks, start, columns: stack.columns });
      start += stack.columns;
    }
  }
  return slices;
}

/** The weights in a product's stack, one for each group; null if the operand is not a stack of weights. */
function stackOf({ inputs: [, b], attrs: { transposed } }: Product): Stack | null {
  if (!transposed || !isOp(b, "reshape") || !isOp(b.inputs[0], "concat") || b.inputs[0].attrs.axis !== 0) return null;
  const [groups, columns, depth] = b.attrs.shape;
  const weights = b.inputs[0].inputs;
  const fits =
    weights.length === groups &&
    typeof columns === "number" &&
    columns >= MIN_COLUMNS &&
    columns % VECTOR === 0 &&
    weights.every((w) => {
      const { shape } = typeOf(w);
      const isStored = (isOp(w, "weight") || isOp(w, "state")) && w.op === weights[0]!.op;
      return isStored && shape.length === 2 && shape[0] === columns && shape[1] === depth;
    });
  return fits && typeof depth === "number" ? { weights, columns, depth } : null;
}
