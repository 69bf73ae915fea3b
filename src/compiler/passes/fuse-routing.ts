// Rewrites routing into the form of its kernels: scores as row sums, row statistics before the gather, positions and
// starts as results of the choice.
import { exactly, readersOf } from "../../ground/base/collections.js";
import { isOp, nodesOf, typeOf, resultNodes, type Graph, type Node } from "../ir/graph.js";
import { knownOnHost } from "../../ground/size/axes.js";
import { multiplySizes } from "../../ground/size/size.js";
import { summedEntries } from "./summed-entries.js";
import { any, mapGraph, of, op, rewrite, rule, type Rule, type Trace } from "./rewrite.js";
import { rowSumBases, rowSumOf, substituteBase } from "./row-sums.js";
import { equalShapes } from "../ir/typing.js";
import { operandsOf } from "../ops/groups.js";

/**
 * Recognises routing composed of primitive operators, in the library or in user code. The score of a row and its norm's
 * statistics are then computed in one pass over all rows, before the choice.
 */
export const fuseRouting = (graph: Graph, trace: Trace | null): Graph =>
  addedEntries(statisticsFirst(rewrite(graph, routingRules(graph), trace), trace), trace);

/** Whether the node is a weight, loaded or as a state. */
const isWeight = (node: Node): boolean => isOp(node, "weight") || isOp(node, "state");

/** The rules for one graph; the rules about starts depend on its axes. */
export const routingRules = ({ axes }: Pick<Graph, "axes">): readonly Rule[] => [
  summedEntries,
  rule("score-as-row-sum", {
    // Σₖ x[i, k] · w[k]: the same terms in the same order. An f16 product would be rounded, so it stays.
    match: op("matmul", [any("x"), any("w")]),
    when: ({ w }, root) =>
      typeOf(root).shape.at(-1) === 1 && isWeight(w) && typeOf(w).shape.length === 2 && typeOf(w).dtype === "f32",
    build({ x, w }, emit, root) {
      const [rows, columns] = exactly(2, typeOf(w).shape);
      const vector = emit("reshape", [w], { shape: [multiplySizes(rows, columns)] });
      return emit("sum", [emit("mul", [x, vector], {})], { axes: [typeOf(root).shape.length - 1], keep: true });
    },
  }),
  rule("score-by-vector-as-row-sum", {
    // The same rewrite for a vector weight.
    match: op("matmul", [any("x"), op("reshape", [any("w")], "column")]),
    when: ({ w, column }, root) =>
      typeOf(root).shape.at(-1) === 1 &&
      isWeight(w) &&
      typeOf(w).shape.length === 1 &&
      typeOf(column).shape.length === 2 &&
      typeOf(w).dtype === "f32",
    build: ({ x, w }, emit, root) =>
      emit("sum", [emit("mul", [x, w], {})], { axes: [typeOf(root).shape.length - 1], keep: true }),
  }),
  rule("positions-with-choice", {
    // `top` already computes the index of each chosen row within its sequence.
    match: op("take", [op("positions", [any("starts")], "all"), op("pick", [of("top", "top")], "index")]),
    when: ({ all, index, top, starts }) =>
      index.attrs.result === 0 && top.inputs[1] === starts && typeOf(all).shape.length === 1,
    build: ({ top }, emit) => emit("pick", [top], { result: 2 }),
  }),
  ...(["top", "above", "span", "join"] as const).map((kind) =>
    rule(`starts-of-${kind}-on-host`, {
      match: op("pick", [of(kind, "made")]),
      when: ({ made }, root) => root.attrs.result === (kind === "join" ? 0 : 1) && knownOnHost(axes, made.attrs.axis),
      build: ({ made }, emit) => emit("starts", [], { axis: made.attrs.axis }),
    }),
  ),
];

/** Σ f(take(x, r)) → take(Σ f(x), r) for pointwise f, if another sum reads all rows of x anyway. */
function statisticsFirst(graph: Graph, trace: Trace | null): Graph {
  const summed = new Set<Node>();
  for (const node of nodesOf(graph)) {
    for (const base of rowSumBases(node)) if (base.op !== "take") summed.add(base);
  }
  if (summed.size === 0) return graph;
  const readAnyway = new Set<Node>();
  return mapGraph(graph, (node, emitFrom, before) => {
    if (summed.has(before)) readAnyway.add(node);
    const taken = rowSumOf(node);
    if (!taken || !isOp(taken, "take") || !readAnyway.has(taken.inputs[0])) return node;
    const [x, index] = taken.inputs;
    const emit = emitFrom(node);
    // `rowSumOf` has checked the operator
    const sum = emit("sum", [substituteBase(node.inputs[0], taken, x, emit)], (node as Node<"sum">).attrs);
    const result = emit("take", [sum, index], taken.attrs);
    trace?.("statistics-before-gather", node, result);
    return result;
  });
}

/** x + sum_entries(y, …) → sum_entries(y, …, x), if nothing else reads the sum. */
function addedEntries(graph: Graph, trace: Trace | null): Graph {
  const nodes = nodesOf(graph);
  if (!nodes.some((n) => isOp(n, "sum_entries"))) return graph;
  const readers = readersOf(nodes);
  const results = new Set<Node>(resultNodes(graph));
  const isReadOnce = (node: Node): boolean => readers.get(node)!.length === 1 && !results.has(node);
  return mapGraph(graph, (node, emitFrom, before) => {
    if (!isOp(node, "add")) return node;
    for (const at of [0, 1] as const) {
      const sum = sumBehind(node.inputs[at], before.inputs[at], isReadOnce);
      const x = node.inputs[1 - at]!;
      if (!sum || !equalShapes(typeOf(x).shape, typeOf(sum).shape)) continue;
      const [y, place, index] = sum.inputs;
      const { listed } = operandsOf(sum.inputs, sum.attrs.groups);
      const inputs = listed ? ([y, place, index, x, listed] as const) : ([y, place, index, x] as const);
      const added = emitFrom(node)("sum_entries", inputs, sum.attrs);
      trace?.("added-entries", node, added);
      return added;
    }
    return node;
  });
}

/** The `sum_entries` whose result a value is, up to reshapes; null if the sum has another reader. */
function sumBehind(node: Node, before: Node, isReadOnce: (before: Node) => boolean): Node<"sum_entries"> | null {
  let [n, old] = [node, before];
  while (isReadOnce(old) && isOp(n, "reshape") && isOp(old, "reshape")) [n, old] = [n.inputs[0], old.inputs[0]];
  return isReadOnce(old) && isOp(n, "sum_entries") && operandsOf(n.inputs, n.attrs.groups).x === null ? n : null;
}
