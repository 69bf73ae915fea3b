// Fuses a product: nodes join in the order of computation; then the last to join are dropped until the kernel's
// bindings fit.
import { isOp, type Node } from "../../ir/graph.js";
import type { RowProduct } from "../analysis/consumers.js";
import { storageBuffers, type Bindings } from "./buffers.js";
import type { ColumnSlice, Epilogue } from "./epilogue.js";
import { EPILOGUES } from "./epilogues.js";
import { accumulatorsOf, pairsOf } from "./column-pairs.js";
import {
  isRead,
  isStored,
  settles,
  sliceOf,
  withOps,
  type Draft,
  type FusedColumns,
  type FusedOp,
  type Fusion,
  type FusionOptions,
} from "./fusion.js";
import { inline, isCheap, type Inlined } from "./inline.js";
import { PriorityQueue } from "./priority-queue.js";
import { storesOf } from "./stores.js";

/** The fusion of a product of a matrix, or of rows of any rank, within the limit of storage buffers. */
export function fuseMatmul(product: RowProduct, columns: number, options: FusionOptions): Fusion {
  let draft = prune(grow(initialDraft(product, columns, options)));
  for (;;) {
    const fusion = fusionOf(draft);
    const mixed = fusion.columns.find(({ slice, epilogues }) => epilogues.length > 1 && pairsWithin(draft, slice));
    const next = mixed ? withoutSettled(draft, mixed.slice) : fits(fusion, options) ? null : dropLast(draft);
    if (!next) return fusion;
    draft = prune(next);
  }
}

/** The initial fusion: the product, and slices of its columns if nothing else reads it. */
function initialDraft(product: RowProduct, columns: number, options: FusionOptions): Draft {
  const lead = product.types[0]!.shape.slice(0, -1);
  const readers = options.consumers.direct(product);
  const slices = readers.filter((n): n is Node<"slice"> => isOp(n, "slice") && n.attrs.axis === lead.length);
  const accumulators = new Map<Node, ColumnSlice>([[product, { start: 0, stop: columns, second: null }]]);
  if (!options.required.has(product) && slices.length === readers.length)
    for (const node of slices) accumulators.set(node, sliceOf(accumulators, node.attrs.start, node.attrs.stop));
  return withOps({ product, columns, lead, prologue: prologueOf(product, options), accumulators, options }, []);
}

/** Whether an op pairs columns of the slice: its statements take the place of all others. */
const pairsWithin = ({ ops }: Draft, slice: ColumnSlice): boolean =>
  ops.some((op) => op.slice === slice && op.pairs > 0);

const without = (draft: Draft, dropped: (op: FusedOp) => boolean): Draft =>
  withOps(
    draft,
    draft.ops.filter((op) => !dropped(op)),
  );

/**
 * The prologue: pointwise operators inlined into the load of a. Half of the buffers are left for b and the epilogues;
 * of a grouped product only buffers for b, the starts of groups and the result: rows may be read through two indices.
 */
function prologueOf(
  product: RowProduct,
  { consumers, views, position, scheduledAt, isAssigned, mostBuffers }: FusionOptions,
): Inlined | null {
  const [a] = product.inputs;
  const prologue = inline(a, product, {
    consumers,
    views,
    byRow: true,
    before: position(product),
    scheduledAt,
    isAssigned,
    allows: isCheap,
  });
  const most = isOp(product, "grouped_matmul") ? mostBuffers - 3 : mostBuffers / 2;
  return prologue && prologue.reads.size <= most ? prologue : null;
}

function grow(start: Draft): Draft {
  const { consumers, position, isAssigned } = start.options;
  const queue = new PriorityQueue(position);
  const reached: Node[] = [];
  let draft = start;
  const addReaders = (node: Node): void => {
    for (const reader of consumers.direct(node)) queue.add(reader);
  };
  /** The readers of a node that joins are reached too. */
  const tryJoin = (node: Node, last: boolean): void => {
    if (draft.members.has(node) || isAssigned(node)) return;
    const op = firstMatch(node, draft, last);
    if (!op) return;
    draft = withOps(draft, [...draft.ops, op]);
    addReaders(op.node);
  };
  for (const node of start.members.keys()) addReaders(node);
  for (let node = queue.next(); node; node = queue.next()) {
    reached.push(node);
    tryJoin(node, false);
  }
  for (const node of reached) tryJoin(node, true);
  return draft;
}

function firstMatch(node: Node, draft: Draft, last: boolean): FusedOp | null {
  for (const kind of EPILOGUES) {
    const op = kind.last === last ? kind.match(node, draft) : null;
    if (op) return op;
  }
  return null;
}

// --- dropping
/** Drops values that would be stored for a single reader that can inline them from a value that is stored anyway. */
function prune(draft: Draft): Draft {
  const { consumers, required } = draft.options;
  const isRedundant = ({ node, value }: FusedOp): boolean => {
    if (node !== value || !isStored(draft, node) || isRead(draft, node)) return false;
    const reader = consumers.soleReader(node);
    const operands = node.inputs.filter((n) => draft.members.has(n));
    const outside = operands.every((n) => consumers.direct(n).some((d) => !draft.members.has(d)) || required.has(n));
    return (
      reader !== null &&
      !reader.repeats &&
      !isOp(reader.node, "matmul") &&
      !isOp(reader.node, "grouped_matmul") &&
      outside
    );
  };
  const redundant = draft.ops.findLast(isRedundant);
  return redundant ? prune(withoutOp(draft, redundant)) : draft;
}

/** The draft without an op, and without ops that receive its value. */
const withoutOp = (draft: Draft, dropped: FusedOp): Draft =>
  without(draft, (op) => op === dropped || op.value === dropped.node);
const withoutSettled = (draft: Draft, slice: ColumnSlice): Draft =>
  without(draft, (op) => op.slice === slice && settles(op));

/** The draft without the op that joined last; null where nothing can be dropped. */
function dropLast(draft: Draft): Draft | null {
  for (const kind of EPILOGUES.toReversed()) {
    const last = draft.ops.findLast((op) => op.kind === kind);
    if (last) return withoutOp(draft, last);
  }
  return draft.prologue && draft.prologue.reads.size > 1 ? { ...draft, prologue: null } : null;
}

// --- result
function fits(fusion: Fusion, { extents, mostBuffers }: FusionOptions): boolean {
  return storageBuffers(bindingsOf(fusion), fusion.product.types, extents) <= mostBuffers;
}

function bindingsOf({ product, prologue, columns, reads }: Fusion): readonly Bindings[] {
  const a = prologue?.reads ?? [product.inputs[0]];
  const starts = isOp(product, "grouped_matmul") ? [product.inputs[2]] : [];
  const ofProduct: Bindings = { reads: [...reads, ...a, ...starts], writes: [], own: 1 }; // b
  return [ofProduct, ...columns.flatMap(({ epilogues }) => epilogues.map((e) => e.buffers))];
}

function fusionOf(draft: Draft): Fusion {
  const { product, prologue, ops, accumulators, members } = draft;
  const columns = [...new Set(members.values())]
    .map((slice): FusedColumns => {
      return { slice, accumulators: accumulatorsOf(draft, slice), epilogues: epiloguesOf(draft, slice) };
    })
    .filter((c) => c.epilogues.length > 0);
  const inlined = ops.flatMap((op) => op.inlined ?? []);
  const nodes = [
    ...accumulators.keys(),
    ...ops.flatMap((op) => op.nodes),
    ...[...inlined, ...(prologue ? [prologue] : [])].flatMap((i) => [...i.operations]),
  ];
  const paired = ops.some((op) => op.pairs > 0) || columns.some(({ slice }) => slice.second !== null);
  return {
    product,
    prologue,
    columns,
    pairs: paired ? pairsOf(draft) : 0,
    nodes: new Set(nodes),
    reads: new Set(inlined.flatMap((i) => [...i.reads])),
  };
}

/** Stores of values first, sums over their rows last. */
const epiloguesOf = (draft: Draft, slice: ColumnSlice): readonly Epilogue[] => [
  ...storesOf(draft, slice),
  ...draft.ops
    .flatMap((op) => (op.slice === slice ? (op.epilogue(draft) ?? []) : []))
    .toSorted((a, b) => a.sums.length - b.sums.length),
];
