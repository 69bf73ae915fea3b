// Counts operations by the convention of the Mixture-of-Recursions paper: which graph nodes count, and with which
// factor.
import { exactly } from "../../ground/base/collections.js";
import { isFloat } from "../../ground/base/dtype.js";
import { isPointwise, isView, nodesOf, isOp, typeOf, type Graph, type Node } from "../ir/graph.js";
import { isAttention } from "../ops/pairs.js";
import { costOf } from "../ops/traits.js";
import * as q from "../../ground/numerics/rational.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { axisSize, multiplySizes, substitute, type Size } from "../../ground/size/size.js";

/** The operations a convention counts for one node. */
export interface Counted {
  readonly flops: Size;
  /** Multiplies `flops`: how many times the convention counts what is executed once. */
  readonly factor: Rational;
}

/**
 * Counts as in Mixture-of-Recursions (Bae et al. 2025, arXiv 2507.10524).
 * Weight products count as if every head had separate keys and values. Attention counts 2·T·d operations a token (the
 * causal mask leaves half of T × T).
 * The language-model head, routers and operators that are not products do not count: for these the result is null.
 */
export function morConvention(graph: Graph): (node: Node) => Counted | null {
  const nodes = nodesOf(graph);
  const computed = computedInputs(nodes);
  const heads = languageModelHeads(graph, computed);
  const keyValue = keyValueProducts(nodes, computed);
  return (node) => {
    if (isAttention(node)) {
      const [q3, k3, v3] = exactly(3, node.inputs.slice(0, 3));
      const [query, key, value] = [typeOf(q3).shape, typeOf(k3).shape, typeOf(v3).shape];
      // 2 (d + e) for each pair and head; the causal mask leaves half of the pairs.
      const width = (key[2] as number) + (value[2] as number);
      return {
        flops: multiplySizes(multiplySizes(query[1]!, axisOfRows(key[1]!)), multiplySizes(query[0]!, width)),
        factor: q.ONE,
      };
    }
    if (isOp(node, "grouped_matmul")) {
      const inner = typeOf(node.inputs[0]).shape.at(-1)!;
      const values = typeOf(node).shape.reduce<Size>((product, dim) => multiplySizes(product, dim), 1);
      return { flops: multiplySizes(multiplySizes(2, inner), values), factor: q.ONE };
    }
    if (!isOp(node, "matmul") || heads.has(node)) return null;
    const [width, inner] = [typeOf(node).shape.at(-1)!, typeOf(node.inputs[0]).shape.at(-1)!];
    if (width === 1) return null; // a router: one number for each token
    const values = typeOf(node).shape.reduce<Size>((product, dim) => multiplySizes(product, dim), 1);
    return { flops: multiplySizes(multiplySizes(2, inner), values), factor: keyValue.get(node) ?? q.ONE };
  };
}

/** `rows(T)` → `T`: the keys of one sequence. */
const axisOfRows = (size: Size): Size =>
  substitute(size, (atom) => (atom.kind === "rows" ? axisSize(atom.axis) : null));

/** The float inputs of a node that depend on the model's inputs or states: not weights, constants or positions. */
type Computed = (node: Node) => readonly Node[];

function computedInputs(nodes: readonly Node[]): Computed {
  const computed = new Set<Node>();
  for (const node of nodes)
    if (isOp(node, "input") || isOp(node, "state") || node.inputs.some((n) => computed.has(n))) computed.add(node);
  return ({ inputs }) => inputs.filter((n) => computed.has(n) && n.types.every((type) => isFloat(type.dtype)));
}

/**
 * Products whose result is an output of the model, or becomes an output through views and pointwise functions such as a
 * scale and a bias. With a loss: the products that compute the logits of a cross entropy.
 */
export function languageModelHeads(graph: Graph, computed = computedInputs(nodesOf(graph))): ReadonlySet<Node> {
  const heads = new Set<Node>();
  const entropies = nodesOf(graph)
    .filter((node) => node.op === "cross_entropy")
    .map((node) => node.inputs[0]);
  for (const root of [
    ...graph.outputs.filter((output) => output.role === "result").map((output) => output.node),
    ...entropies,
  ]) {
    let node: Node | null = root;
    while (node && node.op !== "matmul") node = onlyComputed(node, computed);
    if (node) heads.add(node);
  }
  return heads;
}

/**
 * The single computed input of a view or pointwise node; null if the node has several computed inputs, like a residual
 * sum.
 */
function onlyComputed(node: Node, computed: Computed): Node | null {
  const [only, ...more] = computed(node);
  const keeps = isPointwise(node) || isView(node) || costOf(node).flops === 0;
  return only && more.length === 0 && keeps ? only : null;
}

/**
 * Products that compute the keys and values of grouped-query attention → how many times they count. Columns of keys and
 * values count once for each query head that shares them, other columns once.
 */
function keyValueProducts(nodes: readonly Node[], computed: Computed): ReadonlyMap<Node, Rational> {
  const found = new Map<Node, Rational>();
  const seen = new Set<Node>();
  for (const node of nodes) {
    if (!isAttention(node)) continue;
    const [query, key, value] = exactly(3, node.inputs.slice(0, 3));
    const [heads, groups] = [typeOf(query).shape[0] as number, typeOf(key).shape[0] as number];
    if (heads === groups) continue;
    for (const root of [key, value]) {
      const width = groups * (typeOf(root).shape[2] as number);
      const columns = columnsBehind(root, width, computed);
      if (!columns || seen.has(columns)) continue;
      seen.add(columns);
      const product = isOp(columns, "slice") ? columns.inputs[0] : columns;
      const more = q.multiply(
        q.rational(heads - groups, groups),
        q.rational(width, typeOf(product).shape.at(-1) as number),
      );
      found.set(product, q.add(found.get(product) ?? q.ONE, more));
    }
  }
  return found;
}

/**
 * The product with this width, or the slice of a wider product, from which views, rotation, norms and biases compute a
 * key or value.
 */
function columnsBehind(root: Node, width: number, computed: Computed): Node | null {
  const pending = [root];
  const seen = new Set<Node>(pending);
  for (let node = pending.pop(); node; node = pending.pop()) {
    if (node.op === "matmul" || (isOp(node, "slice") && node.inputs[0].op === "matmul")) {
      if (typeOf(node).shape.at(-1) === width) return node;
      continue;
    }
    if (node.op === "put" || isAttention(node)) continue;
    for (const input of computed(node))
      if (!seen.has(input)) {
        seen.add(input);
        pending.push(input);
      }
  }
  return null;
}
