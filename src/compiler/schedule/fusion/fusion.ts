// Types of a fusion: a product with a prologue, inlined into the load of a, and epilogues, applied to its columns
// before they are stored.
import { type Node, isView } from "../../ir/graph.js";
import type { Size } from "../../../ground/size/size.js";
import type { Views } from "../addressing/views.js";
import type { Consumers, RowProduct } from "../analysis/consumers.js";
import type { Extents } from "../analysis/extents.js";
import type { ColumnSlice, Epilogue } from "./epilogue.js";
import type { Layout } from "../addressing/layout.js";
import type { ScoreTunings } from "../tunings/scores.js";
import type { Inlined } from "./inline.js";

/** The product's accumulators, or a slice of their columns. */
export interface Accumulator {
  readonly kind: "accumulator";
  readonly node: Node;
  readonly slice: ColumnSlice;
}
/** A pointwise operator on values of a slice, and what it inlines for its other operands. */
export interface Pointwise {
  readonly kind: "pointwise";
  readonly node: Node;
  readonly slice: ColumnSlice;
  readonly inlined: Inlined;
}
/**
 * Rotary embedding of the heads of `of`, a value of a slice; the rotated heads are stored in the product's memory or in
 * a cache.
 */
export interface Rotary {
  readonly kind: "rotary";
  readonly node: Node<"rope">;
  readonly of: Node;
  readonly slice: ColumnSlice;
  /** Width of a head. */
  readonly width: number;
  /** The layout of the heads in the product's memory, and the layout if the slice has its own memory. */
  readonly layout: Omit<Layout, "value">;
  readonly alone: Omit<Layout, "value"> | null;
}
/** KV-cache write of the rows of a slice, rotated if the slice is. */
export interface CacheWrite {
  readonly kind: "cache write";
  readonly node: Node<"set">;
  readonly of: Node;
  readonly slice: ColumnSlice;
}
/** A sum over all columns of each row, stored as one partial sum for each panel. */
export interface RowSum {
  readonly kind: "row sum";
  readonly node: Node<"sum">;
  readonly slice: ColumnSlice;
}
/** Whole rows of the product added to, or set in, rows of another value. */
export interface Scatter {
  readonly kind: "scatter";
  readonly node: Node<"put" | "set">;
  readonly of: Node;
  readonly slice: ColumnSlice;
  /** For each row sum, the set that stores it in place of the old sum of the same row. */
  readonly sets: ReadonlyMap<Node, Node<"set">>;
}

/** A node that has joined the fusion of a product. */
export type FusedOp = Accumulator | Pointwise | Rotary | CacheWrite | RowSum | Scatter;
export type OpOf<K extends FusedOp["kind"]> = Extract<FusedOp, { readonly kind: K }>;

/** A fusion under construction. */
export interface Draft {
  readonly product: RowProduct;
  readonly columns: number;
  /** The product's dimensions before its columns. */
  readonly lead: readonly Size[];
  /** The computation of input a; null where a is read from memory. */
  readonly prologue: Inlined | null;
  /** In the order of joining. */
  readonly ops: readonly FusedOp[];
  /** Accumulators and pointwise operators, with the slice of each. */
  readonly members: ReadonlyMap<Node, ColumnSlice>;
  readonly options: FusionOptions;
}

export interface FusionOptions {
  readonly consumers: Consumers;
  readonly extents: Extents;
  readonly views: Views;
  readonly required: ReadonlySet<Node>;
  /** Row sums that must not be stored as partial sums. */
  readonly whole: ReadonlySet<Node>;
  readonly mostBuffers: number;
  /** Whether b is packed, so that its columns can be reordered. */
  readonly packs: boolean;
  /** Columns of a panel if the kernel can compute row sums; null where it cannot. */
  readonly sumsOver: number | null;
  /** The number of partial sums in which a product's kernel stores a sum; null where no product computes it. */
  readonly partialSums: (sum: Node) => number | null;
  /** Limits within which a selection may add up a product's partial sums. */
  readonly scores: ScoreTunings;
  readonly position: (node: Node) => number;
  readonly scheduledAt: (node: Node) => number;
  readonly isAssigned: (node: Node) => boolean;
}

export interface FusedColumns {
  readonly slice: ColumnSlice;
  /** The accumulators: the product or slices of it, numbered 0 and 1 in a pair. */
  readonly accumulators: ReadonlyMap<Node, number>;
  readonly epilogues: readonly Epilogue[];
}

export interface Fusion {
  readonly product: RowProduct;
  readonly prologue: Inlined | null;
  readonly columns: readonly FusedColumns[];
  /** The distance between paired columns; 0: columns are in their order. */
  readonly pairs: number;
  /** All nodes that the kernel computes; the product is first. */
  readonly nodes: ReadonlySet<Node>;
  /** What the kernel reads beside a and b, for pointwise operators and rotations. */
  readonly reads: ReadonlySet<Node>;
}

export const opsOf = <K extends FusedOp["kind"]>({ ops }: Pick<Draft, "ops">, kind: K): readonly OpOf<K>[] =>
  ops.filter((op): op is OpOf<K> => op.kind === kind);
/** The same fusion with other ops. */
export function withOps(draft: Draft, ops: readonly FusedOp[]): Draft {
  const members = ops.flatMap((op) =>
    op.kind === "accumulator" || op.kind === "pointwise" ? [[op.node, op.slice] as const] : [],
  );
  return { ...draft, ops, members: new Map(members) };
}

/** The slice of a range of columns; ops on the same columns share one object. */
export function sliceOf({ members }: Draft, start: number, stop: number, second: number | null = null): ColumnSlice {
  const known = [...members.values()].find((s) => s.start === start && s.stop === stop && s.second === second);
  return known ?? { start, stop, second };
}

export const isWhole = ({ columns }: Pick<Draft, "columns">, slice: ColumnSlice | undefined): boolean =>
  slice !== undefined && slice.start === 0 && slice.stop === columns;

/**
 * Whether no other slice overlaps this one, so that its values may be stored in its columns of the product's memory.
 */
export const isApart = (draft: Draft, slice: ColumnSlice): boolean =>
  opsOf(draft, "accumulator").every(
    ({ node, slice: s }) => node === draft.product || s === slice || s.stop <= slice.start || s.start >= slice.stop,
  );

/**
 * Whether a value of the slice is rotated or written to a cache already: the kernel can do that with only one value of
 * a slice.
 */
export const isSettled = ({ ops }: Draft, slice: ColumnSlice | undefined): boolean =>
  ops.some((op) => (op.kind === "rotary" || op.kind === "cache write") && op.slice === slice);

/** The node that a chain of structure views. */
export function baseOf(node: Node, { consumers }: FusionOptions): Node {
  let at = node;
  while (isView(at) && !consumers.isCopied(at)) at = at.inputs[0]!;
  return at;
}

/** Operators that the kernel computes after its sums. */
export const operationsOf = (draft: Draft): readonly Node[] => [
  ...draft.members.keys(),
  ...opsOf(draft, "pointwise").flatMap((op) => [...op.inlined.operations]),
];

/** Whether the product itself reads x, whose rows other invocations write. */
export function loads({ product, prologue, options }: Draft, x: Node): boolean {
  const [a, b] = product.inputs;
  const base = baseOf(x, options);
  return (prologue ? prologue.reads.has(base) : baseOf(a, options) === base) || baseOf(b, options) === base;
}

/** Whether the kernel does not otherwise use the value in which rows are set. */
export function isFreeFor(draft: Draft, { inputs: [x] }: Node<"set">): boolean {
  const { options } = draft;
  const base = baseOf(x, options);
  return (
    !loads(draft, x) &&
    operationsOf(draft).every((n) => n.inputs.every((input) => baseOf(input, options) !== base)) &&
    opsOf(draft, "cache write").every((op) => baseOf(op.node.inputs[0], options) !== base)
  );
}

/** Whether `reader`, a node of the fusion, reads `value`. */
export function isReadBy(draft: Draft, reader: Node, value: Node): boolean {
  return (
    draft.members.has(reader) ||
    draft.ops.some((op) =>
      op.kind === "scatter" || op.kind === "row sum" ? op.node === reader : op.kind === "rotary" && op.of === value,
    )
  );
}
