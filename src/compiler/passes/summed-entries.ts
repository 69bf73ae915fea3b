// Rewrites the gated sum over a token's entries as one sum of sorted rows.
import { isOp, isPointwise, typeOf, type Node } from "../ir/graph.js";
import { rowsOf } from "../ir/typing.js";
import { equalSizes, multiplySizes, type Size } from "../../ground/size/size.js";
import type { Emit, Rule } from "./rewrite.js";

/** A `sort_entries` node, and a function that picks its results. */
interface Sorted {
  readonly sort: Node<"sort_entries">;
  readonly pick: (result: number) => Node;
}

/**
 * Σ over j of y[place[n, j]] · g[n, j] · … → sum_entries of y · g · …, in the order of y. The factors of y are sorted
 * instead, so that gates can be fused into the product that computes y.
 */
export const summedEntries: Rule = {
  name: "sum-of-entries",
  at: ["sum"],
  rewrite(root, emit) {
    if (!isOp(root, "sum") || root.attrs.axes.length !== 1 || root.attrs.axes[0] !== 1) return null;
    const existing = existingOf(root.inputs[0]);
    const factors = factorsOf(existing?.value ?? root.inputs[0]);
    const apart = sumsApart(root, existing, factors, emit);
    if (apart) return apart;
    const [unsorted, more] = factors.flatMap((f) => unsortedRows(f, emit) ?? []);
    if (!unsorted || more) return null;
    const { y, sorted, shape } = unsorted;
    if (existing && !isOfSorted(existing.exists, sorted)) return null;
    const others = factors.filter((f) => f !== unsorted.node).map((f) => sortedFactor(f, shape, sorted, emit));
    if (others.some((f) => f === null)) return null;
    // Gates come first, so that the product that computes y finds them already computed.
    const product = others.reduceRight((p: Node, f) => emit("mul", [f!, p], {}), y);
    if (typeOf(product).shape.some((s, d) => !equalSizes(s, typeOf(y).shape[d] ?? 1))) return null;
    const sum = sumOf(product, unsorted, existing !== null, emit);
    const { shape: rootShape } = typeOf(root);
    return rootShape.length === typeOf(sum).shape.length ? sum : emit("reshape", [sum], { shape: rootShape });
  },
};

/** The sum over a row's entries; `ragged`: not every row has all entries. */
function sumOf(rows: Node, { sorted: { sort, pick }, isPart }: Unsorted, ragged: boolean, emit: Emit): Node {
  if (!ragged && !isPart) return emit("sum_entries", [rows, pick(2), pick(1)], {});
  const { groups } = sort.attrs;
  // In a `those_entries` choice the existing entries come first, so the sum can end after them.
  const gaps = !isOp(sort.inputs[0], "those_entries");
  return emit("sum_entries", [rows, pick(2), pick(1), pick(4)], gaps ? { groups, gaps } : { groups });
}

/** where(exists, value, 0): entries of a choice in which tokens have different numbers of entries. */
interface Existing {
  readonly exists: Node;
  readonly value: Node;
  readonly none: Node;
}

function existingOf(node: Node): Existing | null {
  if (!isOp(node, "where") || !isZero(node.inputs[2])) return null;
  let exists = node.inputs[0];
  while (isOp(exists, "broadcast")) exists = exists.inputs[0];
  return { exists, value: node.inputs[1], none: node.inputs[2] };
}

const isZero = (node: Node): boolean => isOp(node, "constant") && node.attrs.value === 0;

/**
 * Whether a condition holds for all entries that have a group: the condition tests that they have a group or, if a
 * choice's index becomes the groups, that they exist.
 */
function isOfSorted(condition: Node, { sort }: Sorted): boolean {
  const at = isOp(condition, "reshape") ? condition.inputs[0] : condition;
  if (!isOp(at, "lt") || !isOp(at.inputs[1], "constant")) return false;
  const [index, { attrs }] = [at.inputs[0], at.inputs[1]];
  if (index === sort.inputs[0] && attrs.value === sort.attrs.groups) return true;
  return isOp(index, "those_entries") && attrs.value === typeOf(index).shape.at(-1) && isMadeOf(sort.inputs[0], index);
}

/** Whether a value is computed element by element from another value. */
function isMadeOf(value: Node, of: Node): boolean {
  const seen = new Set([value]);
  for (const node of seen) if (isPointwise(node)) for (const input of node.inputs) seen.add(input);
  return seen.has(of);
}

/**
 * Σ over j of (a + b) · g → Σ a · g + Σ b · g, if a and b are entries of different kinds of blocks, each zero at the
 * other's entries.
 */
function sumsApart(root: Node<"sum">, existing: Existing | null, factors: readonly Node[], emit: Emit): Node | null {
  const added = factors.find((f) => isOp(f, "add") && f.inputs.every(isOfKind));
  if (!added) return null;
  const others = factors.filter((f) => f !== added);
  const [a, b] = added.inputs.map((part) => {
    const product = others.reduce((p: Node, f) => emit("mul", [f, p], {}), part);
    return emit("sum", [existing ? emit("where", [existing.exists, product, existing.none], {}) : product], root.attrs);
  }) as [Node, Node]; // one for each input
  return emit("add", [b, a], {});
}

/** The entries of one or several kinds of blocks: sorted rows, or identity entries, which are their input. */
const isOfKind = (node: Node): boolean =>
  isOp(node, "add") ? node.inputs.every(isOfKind) : isUnsorted(node) || isOp(node, "where");

/** The factors of a product of several values. */
const factorsOf = (node: Node): readonly Node[] => (isOp(node, "mul") ? node.inputs.flatMap(factorsOf) : [node]);

interface Unsorted {
  readonly node: Node;
  /** [N·k, …], sorted. */
  readonly y: Node;
  readonly sorted: Sorted;
  /** [N, k, …] */
  readonly shape: readonly Size[];
  /** Whether entries without a group are 0. */
  readonly isPart: boolean;
}

const isUnsorted = (node: Node): node is Node<"reshape"> => isOp(node, "reshape") && isOp(node.inputs[0], "entry_rows");

/**
 * Sorted rows in the order of entries: reshape(entry_rows(y, place, entries)), or 0 for an entry that does not exist.
 */
function unsortedRows(node: Node, emit: Emit): Unsorted | null {
  const existing = existingOf(node);
  const unsorted = existing?.value ?? node;
  if (!isUnsorted(unsorted) || !isOp(unsorted.inputs[0], "entry_rows")) return null;
  const [y, place] = unsorted.inputs[0].inputs;
  const { shape } = unsorted.attrs;
  if (!isOp(place, "reshape") || !isOp(place.inputs[0], "pick") || place.inputs[0].attrs.result !== 2) return null;
  const sort = place.inputs[0].inputs[0];
  if (!isOp(sort, "sort_entries") || shape.length < 3) return null;
  const [rows, k] = typeOf(place.inputs[0]).shape;
  if (!equalSizes(shape[0]!, rows!) || !equalSizes(shape[1]!, k!)) return null;
  const sorted: Sorted = { sort, pick: (result) => emit("pick", [sort], { result }) };
  return existing && !isOfSorted(existing.exists, sorted)
    ? null
    : { node, y, shape, sorted, isPart: existing !== null };
}

/** The factor in the order of the sorted rows; null if it does not broadcast to them. */
function sortedFactor(factor: Node, shape: readonly Size[], { pick }: Sorted, emit: Emit): Node | null {
  const factorShape = typeOf(factor).shape;
  const [rows, k] = shape as readonly [Size, Size];
  if (factorShape.length < shape.length) {
    // A factor of trailing dimensions only is the same for all entries.
    return factorShape.length <= shape.length - 2 && factorShape.every((s) => rowsOf(s) === null) ? factor : null;
  }
  if (factorShape.length > shape.length || !equalSizes(factorShape[0]!, rows)) return null;
  const trailing = factorShape.slice(2);
  const count = multiplySizes(k, rows);
  const places = (): Node => emit("reshape", [pick(2)], { shape: [count, 1] });
  if (equalSizes(factorShape[1]!, k))
    return emit("entry_rows", [emit("reshape", [factor], { shape: [count, ...trailing] }), pick(0), places()], {});
  return factorShape[1] === 1
    ? emit("entry_rows", [emit("reshape", [factor], { shape: [rows, ...trailing] }), pick(1), pick(2)], {})
    : null;
}
