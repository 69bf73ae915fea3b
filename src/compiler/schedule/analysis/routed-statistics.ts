// Row statistics (such as a norm's sum of squares) of a stream that a causal route reads and updates: the product that
// writes the rows sums all of them, and an update of some rows also updates their sums.
import { isPointwise, isOp, nodesOf, typeOf, type Graph, type Node } from "../../ir/graph.js";
import { attrsKey } from "../../ir/key.js";
import { equalShapes } from "../../ir/typing.js";
import { cse } from "../../passes/cse.js";
import { mapGraph, type Emit } from "../../passes/rewrite.js";
import { hasRows, rowSumOf, substituteBase } from "../../passes/row-sums.js";
import type { ProductCapabilities } from "./capabilities.js";

type Sum = Node<"sum">;

interface Rewrites {
  readonly chosen: ReadonlySet<Node>;
  /** Sums over rows some of which were updated. */
  readonly updated: ReadonlySet<Node>;
  /** The updates of those rows. */
  readonly updates: ReadonlySet<Node>;
}

/**
 * If x is written by a product whose kernel can compute row sums, and r are rows chosen by `above`: Σ f(take(x, r)) →
 * take(Σ f(x), r). If u is written by such a product: Σ f(put(x, r, u)) → set(Σ f(x), r, Σ f(v)) with v = take(x, r) +
 * u, and put(x, r, u) → set(x, r, v). So the statistics of a routed layer need no kernel, nor do those of the next one,
 * which stay unchanged for rows that skip the layer. Exact but for the order of sums.
 */
export function routedStatistics(graph: Graph, capabilities: (product: Node<"matmul">) => ProductCapabilities): Graph {
  const { chosen, updated, updates } = findRewrites(nodesOf(graph), capabilities);
  if (chosen.size === 0) return graph;
  const rewritten = mapGraph(graph, (node, emitFrom, before) => {
    const emit = emitFrom(node);
    if (chosen.has(before)) return sumThenTake(node as Sum, emit);
    if (updated.has(before)) return setRowSums(node as Sum, emit);
    return updates.has(before) ? putAsSet(node as Node<"put">, emit) : node;
  });
  return cse(rewritten, null);
}

function findRewrites(
  nodes: readonly Node[],
  capabilities: (product: Node<"matmul">) => ProductCapabilities,
): Rewrites {
  const writers = productsOf(nodes);
  /**
   * The number of partial sums in which the kernel that writes a value leaves a row sum of it; null where it cannot
   * sum.
   */
  const partsOf = (node: Node): number | null => {
    const product = writers.get(node)?.product;
    const columns = product && typeOf(product).shape.at(-1);
    if (typeof columns !== "number") return null;
    const panel = capabilities(product!).sumsOver;
    return panel && Math.ceil(columns / panel);
  };
  const keys = new Keys();
  const chosen = new Set<Node>();
  const statistics = new Map<Node, Set<string>>();
  for (const node of nodes) {
    const taken = rowSumOf(node);
    if (!taken || !isOp(taken, "take") || !isCausal(taken) || partsOf(taken.inputs[0]) === null) continue;
    chosen.add(node);
    const [x] = taken.inputs;
    statistics.set(x, (statistics.get(x) ?? new Set()).add(keys.of(node, taken)));
  }
  const [updated, updates] = [new Set<Node>(), new Set<Node>()];
  for (const node of nodes) {
    const put = rowSumOf(node);
    if (!put || !isOp(put, "put") || !isCausal(put)) continue;
    const [x, , added] = put.inputs;
    if (!statistics.get(x)?.has(keys.of(node, put)) || partsOf(x) !== partsOf(added)) continue;
    updated.add(node);
    updates.add(put);
  }
  return { chosen, updated, updates };
}

/**
 * Whether each row is chosen by its own score (`above`). In training, where `top` compares all rows, the old sums would
 * have to be read again.
 */
function isCausal({ inputs: [, index], attrs: { dim } }: Node<"take" | "put">): boolean {
  return dim === 0 && isOp(index, "pick") && index.attrs.result === 0 && isOp(index.inputs[0], "above");
}

/** Biases, gates and residual additions between a product and the stream. */
const MOST_STEPS = 4;
/** The most operators searched between such an operand and values computed before the product. */
const MOST_SEEN = 32;

/**
 * The product whose kernel can compute a value: the value is the product's result, or a few pointwise operators of it;
 * of several products the last. Their other operands must not depend on the product, as a norm of it would.
 */
function productsOf(
  nodes: readonly Node[],
): ReadonlyMap<Node, { readonly product: Node<"matmul">; readonly steps: number }> {
  const makers = new Map<Node, { readonly product: Node<"matmul">; readonly steps: number; readonly at: number }>();
  const indices = new Map(nodes.map((node, i) => [node, i]));
  /** Whether a value may depend on the product at position `place`. */
  const mayDependOn = (value: Node, place: number): boolean => {
    const seen = new Set([value]);
    for (const n of seen) {
      if (indices.get(n)! < place) continue; // earlier nodes do not depend on it
      if (isOp(n, "matmul") || isOp(n, "attention") || seen.size > MOST_SEEN) return true;
      for (const input of n.inputs) seen.add(input);
    }
    return false;
  };
  nodes.forEach((node, at) => {
    if (isOp(node, "matmul")) makers.set(node, { product: node, steps: 0, at });
    if (!isPointwise(node)) return;
    const { shape } = typeOf(node);
    const [last] = node.inputs
      .flatMap((n) => (equalShapes(typeOf(n).shape, shape) ? (makers.get(n) ?? []) : []))
      .toSorted((a, b) => b.at - a.at);
    if (!last || last.steps === MOST_STEPS) return;
    const others = node.inputs.filter((n) => makers.get(n)?.product !== last.product);
    if (!others.some((n) => mayDependOn(n, last.at))) makers.set(node, { ...last, steps: last.steps + 1 });
  });
  return makers;
}

/** Keys that are equal for two sums that are the same function of their bases. */
class Keys {
  readonly #ids = new Map<Node, number>();

  of(sum: Node, base: Node): string {
    return `${attrsKey(sum.attrs)} ${this.#of(sum.inputs[0], base)}`;
  }
  #of(node: Node, base: Node): string {
    if (node === base) return "x";
    if (isOp(node, "constant")) return attrsKey(node.attrs);
    if (hasRows(node)) return `${node.op}${attrsKey(node.attrs)}(${node.inputs.map((n) => this.#of(n, base)).join()})`;
    let id = this.#ids.get(node);
    if (id === undefined) this.#ids.set(node, (id = this.#ids.size));
    return `#${id}`;
  }
}

function sumThenTake(sum: Sum, emit: Emit): Node {
  const taken = rowSumOf(sum) as Node<"take">; // checked by `find`
  const [x, index] = taken.inputs;
  return emit("take", [sumOf(x, sum, taken, emit), index], taken.attrs);
}

function setRowSums(sum: Sum, emit: Emit): Node {
  const set = rowSumOf(sum) as Node<"set">; // created by `replacing`
  const [x, index, rows] = set.inputs;
  return emit("set", [sumOf(x, sum, set, emit), index, sumOf(rows, sum, set, emit)], set.attrs);
}

function putAsSet({ inputs, attrs }: Node<"put">, emit: Emit): Node {
  const [x, index, added] = inputs;
  return emit("set", [x, index, emit("add", [emit("take", [x, index], attrs), added], {})], attrs);
}

/** The same sum with x in place of its base. */
const sumOf = (x: Node, { inputs, attrs }: Sum, base: Node, emit: Emit): Node =>
  emit("sum", [substituteBase(inputs[0], base, x, emit)], attrs);
