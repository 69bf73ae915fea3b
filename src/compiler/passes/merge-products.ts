// Merges products of the same rows with several weights: q, k and v, or gate and up, become one product.
import { isOp, nodesOf, typeOf, type Graph, type Node, type Origin } from "../ir/graph.js";
import { mapGraph, type Trace } from "./rewrite.js";
import { callerReads } from "./readers.js";

type Product = Node<"matmul">;
type Weight = Node<"weight"> | Node<"state">;

/** The position of a weight in a concatenation of weights: `start` is its first column. */
interface Slice {
  readonly weights: readonly Weight[];
  readonly transposed: boolean;
  readonly start: number;
  readonly width: number;
}

/** Weights with fewer columns are not merged. */
const MIN_COLUMNS = 16;
/** Slices are aligned to vectors of this many elements. */
const VECTOR = 4;
/** The largest buffer that every device can bind, which limits the concatenated weights. */
export const MAX_BYTES = 128 * 1024 * 1024;

/**
 * a · b₁, a · b₂ … become slices of a · [b₁ b₂ …], where the b are weights; each element is the same sum in the same
 * order. Weights are concatenated in order of appearance, and only if exactly the same values are multiplied by all of
 * them, so that no weight is stored twice. Weights that are states are merged only if transposed: these are repacked
 * for their products anyway, but other states are read in place.
 */
export function mergeProducts(graph: Graph, trace: Trace | null): Graph {
  const slices = slicesOf(graph);
  if (slices.size === 0) return graph;
  return mapGraph(graph, (node, emitFrom, before) => {
    // `slices` has no entry for an input that is not a weight
    const slice = isProduct(before) ? slices.get(before.inputs[1] as Weight) : undefined;
    if (!slice || slice.transposed !== (node as Product).attrs.transposed) return node;
    const { weights, transposed, start, width } = slice;
    const emit = emitFrom({ origin: commonOrigin(node.origin, weights) });
    const joint = emit("concat", weights, { axis: transposed ? 0 : 1 });
    const product = emit("matmul", [node.inputs[0], joint], { transposed });
    const columns = emitFrom(node)("slice", [product], {
      axis: typeOf(product).shape.length - 1,
      start,
      stop: start + width,
    });
    trace?.("merge-products", node, columns);
    return columns;
  });
}

const isProduct = (node: Node): node is Product => isOp(node, "matmul") && isMatrix(node.inputs[1]);
const isMatrix = (b: Node): b is Weight =>
  (isOp(b, "weight") || isOp(b, "state")) &&
  b.attrs.shape.length === 2 &&
  b.attrs.shape.every((n) => typeof n === "number" && n > 0);
/** A product with a state that is not transposed reads the state in place. */
const isMerged = (node: Node): node is Product =>
  isProduct(node) && (node.attrs.transposed || isOp(node.inputs[1], "weight"));
const columnsOf = (b: Weight, transposed: boolean): number => Number(b.attrs.shape[transposed ? 0 : 1]);
const pathOf = (b: Weight): string => (isOp(b, "weight") ? b.attrs.path : b.attrs.name);

function slicesOf(graph: Graph): ReadonlyMap<Weight, Slice> {
  const uses = new Map<Weight, Product[]>();
  const nodes = nodesOf(graph);
  // `isMerged` has checked that it is a weight
  for (const node of nodes) if (isMerged(node)) entry(uses, node.inputs[1] as Weight, () => []).push(node);
  const apart = new Set<Weight>();
  const stored = callerReads(graph);
  for (const [weight, products] of uses) {
    const { transposed } = products[0]!.attrs;
    const width = columnsOf(weight, transposed);
    const fits =
      width >= MIN_COLUMNS &&
      width % VECTOR === 0 &&
      products.every((p) => p.attrs.transposed === transposed && !stored.has(p));
    if (!fits) apart.add(weight);
  }
  // Weights with equal keys are multiplied by the same values.
  const ids = new Map<Node, number>();
  const idOf = (node: Node): number => entry(ids, node, () => ids.size);
  const groups = new Map<string, Weight[]>();
  for (const [weight, products] of uses) {
    if (apart.has(weight)) continue;
    const rows = products.map((p) => idOf(p.inputs[0])).sort((a, b) => a - b);
    entry(groups, `${weight.op} ${products[0]!.attrs.transposed} ${rows.join()}`, () => []).push(weight);
  }
  const slices = new Map<Weight, Slice>();
  for (const weights of groups.values()) {
    const { transposed } = uses.get(weights[0]!)![0]!.attrs;
    const bytes = weights.reduce((n, w) => n + 4 * columnsOf(w, true) * columnsOf(w, false), 0);
    if (weights.length < 2 || bytes > MAX_BYTES) continue;
    let start = 0;
    for (const weight of weights) {
      const width = columnsOf(weight, transposed);
      slices.set(weight, { weights, transposed, start, width });
      start += width;
    }
  }
  return slices;
}

/**
 * The origin of the first product, with its call path cut to the common prefix of all weights: a merged product belongs
 * to the block that contains all of them.
 */
function commonOrigin(origin: Origin | null, weights: readonly Weight[]): Origin | null {
  if (!origin) return null;
  const [first, ...rest] = weights.map((w) => pathOf(w).split("."));
  const common = first!.findIndex((part, i) => rest.some((path) => path[i] !== part));
  return { ...origin, path: origin.path.split(".").slice(0, common).join(".") };
}

function entry<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) map.set(key, (value = make()));
  return value;
}
