// What a fusion is: a product with what its kernel computes of a while it loads it, and with what follows on its
// columns before they are stored.
import { type Node, isView } from "../../ir/graph.js";
import type { Size } from "../../size/size.js";
import type { Views } from "../addressing/views.js";
import type { Demand } from "../analysis/demand.js";
import type { Extents } from "../analysis/extents.js";
import type { ColumnSlice, Epilogue } from "./epilogue.js";
import type { Layout } from "../addressing/layout.js";
import type { ScoreTunings } from "../tunings/scores.js";
import type { Inlined } from "./inline.js";

/** A product's sums as they are, or a slice of their columns. */
export interface Accumulator {
  readonly kind: "accumulator";
  readonly node: Node;
  readonly slice: ColumnSlice;
}
/** An operator on values of a slice, with what it reads beside them. */
export interface Pointwise {
  readonly kind: "pointwise";
  readonly node: Node;
  readonly slice: ColumnSlice;
  readonly inlined: Inlined;
}
/**
 * Rotary embedding of the heads of a slice, whose value `of` is; they are stored rotated, in the product's memory or in
 * a cache.
 */
export interface Rotary {
  readonly kind: "rotary";
  readonly node: Node<"rope">;
  readonly of: Node;
  readonly slice: ColumnSlice;
  /** Width of a head. */
  readonly width: number;
  /** Where the heads lie in the product's memory, and where they would were the slice alone in its own. */
  readonly layout: Omit<Layout, "value">;
  readonly alone: Omit<Layout, "value"> | null;
}
/** Rows of a slice set in a cache, rotated where the slice is. */
export interface CacheWrite {
  readonly kind: "cache write";
  readonly node: Node<"set">;
  readonly of: Node;
  readonly slice: ColumnSlice;
}
/** A sum over each row of all columns, left in a partial sum for each panel of them. */
export interface RowSum {
  readonly kind: "row sum";
  readonly node: Node<"sum">;
  readonly slice: ColumnSlice;
}
/** Rows of all columns added to, or set in, rows of something else. */
export interface Scatter {
  readonly kind: "scatter";
  readonly node: Node<"put" | "set">;
  readonly of: Node;
  readonly slice: ColumnSlice;
  /** Row sums that replace those of the same rows: by each sum, the set. */
  readonly sets: ReadonlyMap<Node, Node<"set">>;
}

/** What joins a product, one node at a time. */
export type FusedOp = Accumulator | Pointwise | Rotary | CacheWrite | RowSum | Scatter;
export type OpOf<K extends FusedOp["kind"]> = Extract<FusedOp, { readonly kind: K }>;

/** A fusion as it grows. */
export interface Draft {
  readonly product: Node<"matmul">;
  readonly columns: number;
  /** The product's dimensions before its columns. */
  readonly lead: readonly Size[];
  /** What input a is computed of; null where it is read as it lies. */
  readonly prologue: Inlined | null;
  /** In the order in which they joined. */
  readonly ops: readonly FusedOp[];
  /** Accumulators and pointwise operators, by the slice that they are values of. */
  readonly members: ReadonlyMap<Node, ColumnSlice>;
  readonly options: FusionOptions;
}

export interface FusionOptions {
  readonly demand: Demand;
  readonly extents: Extents;
  readonly views: Views;
  readonly required: ReadonlySet<Node>;
  /** Sums over rows that are needed whole. */
  readonly whole: ReadonlySet<Node>;
  readonly mostBuffers: number;
  /** Whether b is packed, so that columns may stand in another order. */
  readonly packs: boolean;
  /** Columns of a panel where the kernel can sum over rows; null where it cannot. */
  readonly sumsOver: number | null;
  /** How many partial sums a product's kernel leaves of a sum; null where none makes it. */
  readonly partialSums: (sum: Node) => number | null;
  /** Where a selection may add up what a product's kernel sums. */
  readonly scores: ScoreTunings;
  readonly position: (node: Node) => number;
  readonly scheduledAt: (node: Node) => number;
  readonly isAssigned: (node: Node) => boolean;
}

export interface FusedColumns {
  readonly slice: ColumnSlice;
  /** Nodes that are sums themselves: the product, or slices of it; in a pair the first and the second. */
  readonly accumulators: ReadonlyMap<Node, number>;
  readonly epilogues: readonly Epilogue[];
}

export interface Fusion {
  readonly product: Node<"matmul">;
  readonly prologue: Inlined | null;
  readonly columns: readonly FusedColumns[];
  /** Columns so far apart stand side by side; 0: in their order. */
  readonly pairs: number;
  /** All nodes that the kernel computes, the product first. */
  readonly nodes: ReadonlySet<Node>;
  /** What it reads for pointwise operators and rotations beside a and b. */
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

/** The slice of a range, which ops of the same columns share. */
export function sliceOf({ members }: Draft, start: number, stop: number, second: number | null = null): ColumnSlice {
  const known = [...members.values()].find((s) => s.start === start && s.stop === stop && s.second === second);
  return known ?? { start, stop, second };
}

export const isWhole = ({ columns }: Pick<Draft, "columns">, slice: ColumnSlice | undefined): boolean =>
  slice !== undefined && slice.start === 0 && slice.stop === columns;

/** Whether no other slice has some of its columns, so that what becomes of them may stand in the product's memory. */
export const isApart = (draft: Draft, slice: ColumnSlice): boolean =>
  opsOf(draft, "accumulator").every(
    ({ node, slice: s }) => node === draft.product || s === slice || s.stop <= slice.start || s.start >= slice.stop,
  );

/**
 * Whether a value of a slice is rotated or written to a cache: its kernel can do that with one value of a slice only.
 */
export const isSettled = ({ ops }: Draft, slice: ColumnSlice | undefined): boolean =>
  ops.some((op) => (op.kind === "rotary" || op.kind === "cache write") && op.slice === slice);

/** What structure views. */
export function baseOf(node: Node, { demand }: FusionOptions): Node {
  let at = node;
  while (isView(at) && !demand.isCopied(at)) at = at.inputs[0]!;
  return at;
}

/** Operators that the kernel computes behind its sums. */
export const operationsOf = (draft: Draft): readonly Node[] => [
  ...draft.members.keys(),
  ...opsOf(draft, "pointwise").flatMap((op) => [...op.inlined.operations]),
];

/** Whether the product itself reads of x, whose rows other invocations write. */
export function loads({ product, prologue, options }: Draft, x: Node): boolean {
  const [a, b] = product.inputs;
  const base = baseOf(x, options);
  return (prologue ? prologue.reads.has(base) : baseOf(a, options) === base) || baseOf(b, options) === base;
}

/** Whether nothing else that the kernel does is with what rows are set in. */
export function isFreeFor(draft: Draft, { inputs: [x] }: Node<"set">): boolean {
  const { options } = draft;
  const base = baseOf(x, options);
  return (
    !loads(draft, x) &&
    operationsOf(draft).every((n) => n.inputs.every((input) => baseOf(input, options) !== base)) &&
    opsOf(draft, "cache write").every((op) => baseOf(op.node.inputs[0], options) !== base)
  );
}

/** Whether something of the fusion reads a value of it, by the node that does. */
export function isReadBy(draft: Draft, reader: Node, value: Node): boolean {
  return (
    draft.members.has(reader) ||
    draft.ops.some((op) =>
      op.kind === "scatter" || op.kind === "row sum" ? op.node === reader : op.kind === "rotary" && op.of === value,
    )
  );
}
