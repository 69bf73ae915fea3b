// The sum over a token's entries, each times its gate, as one sum of sorted rows.
import { isOp, typeOf, type Node } from "../ir/graph.js";
import { rowsOf } from "../ir/typing.js";
import { equalSizes, multiplySizes, type Size } from "../size/size.js";
import type { Emit, Rule } from "./rewrite.js";

/** What `sort_entries` made of a choice, as its readers name it. */
interface Sorted {
  readonly sort: Node<"sort_entries">;
  readonly pick: (result: number) => Node;
}

/**
 * Σ over j of y[place[n, j]] · g[n, j] · … → sum_entries of y · g · …, in the order of y, where what y is multiplied by
 * is sorted instead: gates then join the product that makes y.
 */
export const summedEntries: Rule = {
  name: "sum-of-entries",
  at: ["sum"],
  rewrite(root, emit) {
    if (!isOp(root, "sum") || root.attrs.axes.length !== 1 || root.attrs.axes[0] !== 1) return null;
    const existing = existingOf(root.inputs[0]);
    const all = factorsOf(existing?.value ?? root.inputs[0]);
    const inner = all.map(existingOf);
    // Of entries that are sorted, those that exist are asked for again where not all are listed.
    const factors = all.map((f, i) => (inner[i] && isUnsorted(inner[i].value) ? inner[i].value : f));
    const conditions = [existing, ...inner.filter((e, i) => e && factors[i] === e.value)].flatMap(
      (e) => e?.exists ?? [],
    );
    const apart = sumsApart(root, factors, emit);
    if (apart) return apart;
    const [unsorted, more] = factors.flatMap((f) => unsortedRows(f, emit) ?? []);
    if (!unsorted || more) return null;
    const { y, sorted, shape } = unsorted;
    const others = factors.filter((f) => f !== unsorted.node).map((f) => sortedFactor(f, shape, sorted, emit));
    if (others.some((f) => f === null)) return null;
    // Gates come first: the product that makes y then finds them computed.
    const product = others.reduceRight((p: Node, f) => emit("mul", [f!, p], {}), y);
    if (typeOf(product).shape.some((s, d) => !equalSizes(s, typeOf(y).shape[d] ?? 1))) return null;
    const exist = conditions.map((c) => sortedExistence(c, shape, sorted, emit));
    const known = new Set(exist.filter((e) => e !== null));
    if (exist.includes(null)) return null;
    const kept = [...known].reduce((p: Node, e) => emit("where", [e, p, zero(p, emit)], {}), product);
    const sum = emit("sum_entries", [kept, sorted.pick(2), sorted.pick(1)], {});
    const { shape: wanted } = typeOf(root);
    return wanted.length === typeOf(sum).shape.length ? sum : emit("reshape", [sum], { shape: wanted });
  },
};

/** where(exists, value, 0): of entries of which tokens have different numbers. */
function existingOf(node: Node): { readonly exists: Node; readonly value: Node } | null {
  if (!isOp(node, "where") || !isZero(node.inputs[2])) return null;
  let exists = node.inputs[0];
  while (isOp(exists, "broadcast")) exists = exists.inputs[0];
  return { exists, value: node.inputs[1] };
}

const isZero = (node: Node): boolean => isOp(node, "constant") && node.attrs.value === 0;
const zero = (like: Node, emit: Emit): Node => emit("constant", [], { value: 0, dtype: typeOf(like).dtype, shape: [] });

/** Whether the entry at each place exists. Those that the choice has are those that have a group. */
function sortedExistence(exists: Node, shape: readonly Size[], sorted: Sorted, emit: Emit): Node | null {
  const index = isOp(exists, "reshape") ? exists.inputs[0] : exists;
  if (!isOp(index, "lt") || index.inputs[0] !== sorted.sort.inputs[0]) return sortedFactor(exists, shape, sorted, emit);
  const listed = sorted.pick(4);
  const [rows] = typeOf(listed).shape as readonly [Size]; // one for each entry
  const groups = emit("constant", [], { value: sorted.sort.attrs.groups, dtype: "u32", shape: [] });
  const isListed = emit("lt", [listed, groups], {});
  return emit("reshape", [isListed], { shape: [rows, ...shape.slice(2).map(() => 1)] });
}

/**
 * Σ over j of (a + b) · g → Σ a · g + Σ b · g, where entries of several kinds of blocks add up, each zero where the
 * others are not.
 */
function sumsApart(root: Node<"sum">, factors: readonly Node[], emit: Emit): Node | null {
  const added = factors.find((f) => isOp(f, "add") && f.inputs.every(isOfKind));
  if (!added) return null;
  const others = factors.filter((f) => f !== added);
  const [a, b] = added.inputs.map((part) => {
    const product = others.reduce((p: Node, f) => emit("mul", [f, p], {}), part);
    return emit("sum", [product], root.attrs);
  }) as [Node, Node]; // of both inputs
  return emit("add", [b, a], {});
}

/** What one or several kinds of blocks made of their entries: rows of theirs, or their input where it is theirs. */
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
}

const isUnsorted = (node: Node): node is Node<"reshape"> => isOp(node, "reshape") && isOp(node.inputs[0], "entry_rows");

/** Sorted rows that are read entry by entry: reshape(entry_rows(y, place, entries)). */
function unsortedRows(node: Node, emit: Emit): Unsorted | null {
  if (!isUnsorted(node) || !isOp(node.inputs[0], "entry_rows")) return null;
  const [y, place] = node.inputs[0].inputs;
  const { shape } = node.attrs;
  if (!isOp(place, "reshape") || !isOp(place.inputs[0], "pick") || place.inputs[0].attrs.result !== 2) return null;
  const sort = place.inputs[0].inputs[0];
  if (!isOp(sort, "sort_entries") || shape.length < 3) return null;
  const [rows, k] = typeOf(place.inputs[0]).shape;
  if (!equalSizes(shape[0]!, rows!) || !equalSizes(shape[1]!, k!)) return null;
  return { node, y, shape, sorted: { sort, pick: (result) => emit("pick", [sort], { result }) } };
}

/** The factor as one of the sorted rows; null where it does not broadcast to them. */
function sortedFactor(factor: Node, shape: readonly Size[], { pick }: Sorted, emit: Emit): Node | null {
  const own = typeOf(factor).shape;
  const [rows, k] = shape as readonly [Size, Size];
  if (own.length < shape.length) {
    // Behind the entries: the same for all of them.
    return own.length <= shape.length - 2 && own.every((s) => rowsOf(s) === null) ? factor : null;
  }
  if (own.length > shape.length || !equalSizes(own[0]!, rows)) return null;
  const behind = own.slice(2);
  const count = multiplySizes(k, rows);
  const places = (): Node => emit("reshape", [pick(2)], { shape: [count, 1] });
  if (equalSizes(own[1]!, k))
    return emit("entry_rows", [emit("reshape", [factor], { shape: [count, ...behind] }), pick(0), places()], {});
  return own[1] === 1
    ? emit("entry_rows", [emit("reshape", [factor], { shape: [rows, ...behind] }), pick(1), pick(2)], {})
    : null;
}
