// Keys and values that are products of a narrower row with a weight, kept as that row: queries go through the weight of
// the keys instead, q · (W c) = (Wᵀ q) · c, and the sum of rows goes through the weight of the values (DeepSeek-V2,
// arXiv 2405.04434, section 2.1.2).
import { exactly } from "../../ground/base/collections.js";
import { equalSizes } from "../../ground/size/size.js";
import { createEmit, type Emit } from "../ir/build.js";
import { isOp, nodesOf, typeOf, type Graph, type Node } from "../ir/graph.js";
import { inputsFor } from "../ir/typing.js";
import { replaceNodes } from "../ir/replace.js";
import { ops } from "../ops/index.js";
import { runsOf, type Run } from "./column-runs.js";

/** Columns that are products: for head g, the columns from `first` + g · `stride` of the matrix `product`. */
interface Products {
  readonly kind: "products";
  readonly product: Node<"matmul">;
  readonly first: number;
  readonly stride: number;
  readonly length: number;
}
/** Columns that all heads have in common. */
interface Shared extends Run {
  readonly kind: "shared";
}
type Part = Products | Shared;

interface Latent {
  readonly keys: readonly Part[];
  readonly values: Products;
  /** f32[rows, width]: the rows from which keys and values are made; possibly the same. */
  readonly ofKeys: Node;
  readonly ofValues: Node;
}

/** Rewrites each attention that may keep rows of at most half the numbers of its keys and values. */
export function withLatentRows(graph: Graph): Graph {
  const nodes = nodesOf(graph);
  const found = new Map(nodes.flatMap((n) => (isOp(n, "attention") ? [[n as Node, latentOf(n)] as const] : [])));
  if (![...found.values()].some((latent) => latent !== null)) return graph;
  const emit = createEmit(ops, graph.axes);
  const done = new Map<Node, Node>();
  // Starts of an axis may come after a node that reads them through an attribute alone.
  const now = (node: Node): Node => {
    const known = done.get(node);
    if (known) return known;
    const inputs = node.inputs.map(now);
    const moved = inputs.every((n, i) => n === node.inputs[i]) ? node : { ...node, inputs };
    const latent = found.get(node);
    const result = latent && isOp(node, "attention") ? absorbed(emit, node, latent, now) : moved;
    done.set(node, result);
    return result;
  };
  for (const node of nodes) now(node);
  return replaceNodes(graph, now);
}

/** The rows from which an attention's keys and values are made; null if they are not, or are too wide. */
function latentOf({ inputs: [, k, v], attrs }: Node<"attention">): Latent | null {
  if (!attrs.causal) return null;
  const [keys, values] = [partsOf(k), partsOf(v)];
  const products = (keys ?? []).filter((part) => part.kind === "products");
  const [first] = products;
  const [of] = values ?? [];
  if (!keys || !first || of?.kind !== "products" || values?.length !== 1) return null;
  const [ofKeys, ofValues] = [first.product.inputs[0], of.product.inputs[0]];
  if (products.some(({ product }) => product.inputs[0] !== ofKeys)) return null;
  const width = (x: Node, dim: number): number => Number(typeOf(x).shape[dim]);
  const heads = width(k, 0);
  const made = products.reduce((sum, { length }) => sum + heads * length, 0);
  const [rank, rankV] = [width(ofKeys, 1), width(ofValues, 1)];
  if (rank >= made || rankV >= heads * of.length) return null;
  const shared = width(k, 2) - made / heads;
  const kept = rank + shared + (ofKeys === ofValues ? 0 : rankV);
  return 2 * kept <= heads * (width(k, 2) + width(v, 2)) ? { keys, values: of, ofKeys, ofValues } : null;
}

/** What the columns of x[heads, rows, width] are, in order; null if heads differ in another way than by products. */
function partsOf(x: Node): readonly Part[] | null {
  const [heads, rows, width] = exactly(3, typeOf(x).shape);
  const ofHeads = Array.from({ length: Number(heads) }, (_, g) => runsOf(x, [g, 0, 0], Number(width)));
  const [first] = ofHeads;
  if (!first || ofHeads.some((runs) => runs.length !== first.length)) return null;
  const parts = first.map((run, i): Part | null => {
    const { node, at, length } = run;
    const others = ofHeads.map((runs) => runs[i]!);
    if (others.some((other) => other.node !== node || other.length !== length)) return null;
    const isSame = others.every((other) => other.at.every((n, d) => n === at[d]));
    if (isOp(node, "matmul") && node.types[0]!.shape.length === 2 && isOfWeights(node.inputs[1])) {
      const begins = others.map((other) => other.at[1]!);
      const stride = begins.length === 1 ? length : begins[1]! - begins[0]!;
      const even = begins.every((n, g) => n === begins[0]! + g * stride);
      const fits = placeOf(node, Number(heads), begins[0]!, stride, length) !== null;
      if (even && fits && equalSizes(node.types[0]!.shape[0]!, rows))
        return { kind: "products", product: node, first: begins[0]!, stride, length };
    }
    return isSame ? { kind: "shared", ...run } : null;
  });
  return parts.every((part) => part !== null) ? parts : null;
}

/** Whether a value is a weight, or a view of one. */
const isOfWeights = (x: Node): boolean =>
  isOp(x, "weight") ||
  ((isOp(x, "permute") || isOp(x, "reshape") || isOp(x, "slice") || isOp(x, "concat")) && x.inputs.every(isOfWeights));

/** The column at which blocks of `stride` columns begin, one a head, with the part in each; null if none does. */
function placeOf(product: Node<"matmul">, heads: number, first: number, stride: number, length: number): number | null {
  const columns = Number(typeOf(product).shape[1]);
  const begin = Math.max(0, Math.min(first, columns - heads * stride));
  return stride >= length && heads * stride <= columns && first - begin + length <= stride ? begin : null;
}

function absorbed(emit: Emit, node: Node<"attention">, latent: Latent, now: (node: Node) => Node): Node {
  const { origin } = node;
  const [q, k, , ...places] = node.inputs;
  const rows = typeOf(q).shape[1]!;
  const [heads, groups] = [q, k].map((x) => Number(typeOf(x).shape[0]));
  const of = now(q);
  const apart = heads !== groups;
  /** [G, length, width] for each head of keys, or [G, 1, length, width] beside queries of more heads. */
  const weightOf = ({ product, first, stride, length }: Products): Node => {
    const [, b] = product.inputs;
    const matrix = product.attrs.transposed
      ? b
      : isOp(b, "permute")
        ? b.inputs[0]
        : emit.node("permute", [b], { order: [1, 0] }, origin);
    const begin = placeOf(product, groups!, first, stride, length)!; // `partsOf` has checked it
    const all = emit.node("slice", [matrix], { axis: 0, start: begin, stop: begin + groups! * stride }, origin);
    const width = typeOf(matrix).shape[1]!;
    const each = emit.node("reshape", [all], { shape: [groups!, stride, width] }, origin);
    const start = first - begin;
    const own = emit.node("slice", [each], { axis: 1, start, stop: start + length }, origin);
    return apart ? emit.node("reshape", [own], { shape: [groups!, 1, length, width] }, origin) : own;
  };
  const through = (x: Node, part: Products, transposed: boolean): Node => {
    const [, , width] = exactly(3, typeOf(x).shape);
    const shape = [groups!, heads! / groups!, rows, width];
    const grouped = apart ? emit.node("reshape", [x], { shape }, origin) : x;
    const y = emit.node("matmul", [grouped, weightOf(part)], { transposed }, origin);
    return apart ? emit.node("reshape", [y], { shape: [heads!, rows, typeOf(y).shape[3]!] }, origin) : y;
  };
  const row = (x: Node): Node => emit.node("reshape", [now(x)], { shape: [1, ...typeOf(x).shape] }, origin);
  const columns = latent.keys.map((part, i) => {
    const start = latent.keys.slice(0, i).reduce((sum, { length }) => sum + length, 0);
    const x = emit.node("slice", [of], { axis: 2, start, stop: start + part.length }, origin);
    return part.kind === "products"
      ? { query: through(x, part, false), key: null }
      : { query: x, key: sharedRow(emit, part, typeOf(k).shape[1]!, now) };
  });
  const sums = columns.flatMap(({ query, key }) => (key ? [] : [query]));
  const sum = sums.reduce((a, b) => emit.node("add", [a, b], {}, origin));
  const shared = columns.flatMap(({ query, key }) => (key ? [{ query, key }] : []));
  const [ofKeys, ofValues] = [row(latent.ofKeys), row(latent.ofValues)];
  const joined = (parts: readonly Node[]): Node =>
    parts.length === 1 ? parts[0]! : emit.node("concat", parts, { axis: 2 }, origin);
  const queries = joined([sum, ...shared.map(({ query }) => query)]);
  const keys = joined([ofKeys, ...shared.map(({ key }) => key)]);
  const inputs = inputsFor("attention", [queries, keys, ofValues, ...places.map(now)]);
  return through(emit.node("attention", inputs, node.attrs, origin), latent.values, true);
}

/** Columns that all heads share, as [1, rows, length]. */
function sharedRow(
  emit: Emit,
  { node, at, length }: Shared,
  rows: Node["types"][0]["shape"][0],
  now: (x: Node) => Node,
): Node {
  const last = at.length - 1;
  const slices = at.map((start, axis) => ({ axis, start, stop: start + (axis === last ? length : 1) }));
  const own = slices.reduce((x, slice) => {
    const size = typeOf(x).shape[slice.axis]!;
    const isWhole = typeof size !== "number" || (slice.start === 0 && slice.stop === size);
    return isWhole ? x : emit.node("slice", [x], slice, node.origin);
  }, now(node));
  return emit.node("reshape", [own], { shape: [1, rows, length] }, node.origin);
}
