// Types of a fusion: a product with a prologue, inlined into the load of a, and epilogues, applied to its columns
// before they are stored.
import { type Node, isView } from "../../ir/graph.js";
import type { Size } from "../../../ground/size/size.js";
import type { Views } from "../addressing/views.js";
import type { Consumers, RowProduct } from "../analysis/consumers.js";
import type { Extents } from "../analysis/extents.js";
import type { ColumnSlice, Epilogue } from "./epilogue.js";
import type { ScoreTunings } from "../tunings/scores.js";
import type { Inlined } from "./inline.js";

/** A node that has joined the fusion of a product, with all facts that the fusion needs of it. */
export interface FusedOp {
  readonly kind: EpilogueKind;
  readonly node: Node;
  /** The reader by which the fusion found it: its node, or a view between its value and its node. */
  readonly reader: Node;
  /** The value of the fusion whose elements it receives; its node if other ops may read that: a *member*. */
  readonly value: Node;
  readonly slice: ColumnSlice;
  /** All nodes that the kernel computes with it, but for those that it inlines. */
  readonly nodes: readonly Node[];
  /** The nodes that the kernel inlines for operands from outside the fusion; null if there are none. */
  readonly inlined: Inlined | null;
  /** The distance of the columns that it pairs; 0: none. */
  readonly pairs: number;
  /** The scatters that it performs in place: rows of each one's input 0 are overwritten. */
  readonly rows: readonly Node<"put" | "set">[];
  /** Null if it has none: `stores.ts` stores members, and the epilogue of another op may include this op's work. */
  readonly epilogue: (draft: Draft) => Epilogue | null;
}

/** A kind of epilogue. One file has all its facts; `epilogues.ts` lists the kinds. */
export interface EpilogueKind<O extends FusedOp = FusedOp> {
  /** Whether it joins after all others, since it depends on all readers of its value. */
  readonly last: boolean;
  /** The op by which a node joins the draft; null if it cannot join. */
  readonly match: (node: Node, draft: Draft) => O | null;
}

/** A fusion under construction. */
export interface Draft {
  readonly product: RowProduct;
  readonly columns: number;
  /** The product's dimensions before its columns. */
  readonly lead: readonly Size[];
  /** The computation of input a; null where a is read from memory. */
  readonly prologue: Inlined | null;
  /** The product, and slices of its columns. */
  readonly accumulators: ReadonlyMap<Node, ColumnSlice>;
  /** In the order of joining. */
  readonly ops: readonly FusedOp[];
  /** Accumulators, and nodes of ops that other ops may read, with the slice of each. */
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
  /** The operands of the operations that the kernel inlines after its sums. */
  readonly reads: ReadonlySet<Node>;
}

export const opsOf = <O extends FusedOp>({ ops }: Pick<Draft, "ops">, kind: EpilogueKind<O>): readonly O[] =>
  ops.filter((op): op is O => op.kind === kind);

/** The same fusion with other ops. */
export function withOps(draft: Omit<Draft, "ops" | "members">, ops: readonly FusedOp[]): Draft {
  const values = ops.flatMap((op) => (op.value === op.node ? [[op.node, op.slice] as const] : []));
  return { ...draft, ops, members: new Map([...draft.accumulators, ...values]) };
}

/** The slice of a range of columns; ops on the same columns share one object. */
export function sliceOf(
  members: ReadonlyMap<Node, ColumnSlice>,
  start: number,
  stop: number,
  second: number | null = null,
): ColumnSlice {
  const known = [...members.values()].find((s) => s.start === start && s.stop === stop && s.second === second);
  return known ?? { start, stop, second };
}

export const isWhole = ({ columns }: Pick<Draft, "columns">, slice: ColumnSlice | undefined): boolean =>
  slice !== undefined && slice.start === 0 && slice.stop === columns;

/**
 * Whether no other slice overlaps this one, so that its values may be stored in its columns of the product's memory.
 */
export const isApart = ({ product, accumulators }: Draft, slice: ColumnSlice): boolean =>
  [...accumulators].every(
    ([node, s]) => node === product || s === slice || s.stop <= slice.start || s.start >= slice.stop,
  );

/** Whether the op is one that the kernel can do with only one value of a slice. */
export const settles = ({ pairs, rows }: FusedOp): boolean => pairs > 0 || rows.length > 0;
export const isSettled = ({ ops }: Draft, slice: ColumnSlice | undefined): boolean =>
  ops.some((op) => op.slice === slice && settles(op));

/** The node that a chain of structure views. */
export function baseOf(node: Node, { consumers }: FusionOptions): Node {
  let at = node;
  while (isView(at) && !consumers.isCopied(at)) at = at.inputs[0]!;
  return at;
}

/** Operators that the kernel computes after its sums. */
export const operationsOf = (draft: Draft): readonly Node[] => [
  ...draft.members.keys(),
  ...draft.ops.flatMap((op) => [...(op.inlined?.operations ?? [])]),
];

/** The values whose rows the kernel overwrites. */
export const overwritten = ({ ops, options }: Draft): readonly Node[] =>
  ops.flatMap((op) => op.rows.map((row) => baseOf(row.inputs[0], options)));

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
    !overwritten(draft).includes(base)
  );
}

export const isRead = (draft: Draft, value: Node): boolean =>
  draft.options.consumers.direct(value).some((reader) => isInside(draft, reader));

/** Whether the kernel must store a value: the caller needs it, or a reader is not in the fusion. */
export const isStored = (draft: Draft, value: Node): boolean =>
  draft.options.required.has(value) || draft.options.consumers.direct(value).some((reader) => !isInside(draft, reader));

const isInside = ({ members, ops }: Draft, reader: Node): boolean =>
  members.has(reader) || ops.some((op) => op.reader === reader);
