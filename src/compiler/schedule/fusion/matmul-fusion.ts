// Fuses a product: nodes join in the order of computation; then the last to join are dropped until the kernel's
// bindings fit.
import { isOp, type Node, isPointwise, isScatter } from "../../ir/graph.js";
import { canLieAt } from "../addressing/views.js";
import type { RowProduct } from "../analysis/consumers.js";
import { columnsOf } from "../addressing/layout.js";
import { storageBuffers, type Bindings } from "./buffers.js";
import { cacheWrite, matchCacheWrite } from "./cache-write.js";
import type { ColumnSlice, Epilogue } from "./epilogue.js";
import { accumulatorsOf, pairsOf } from "./column-pairs.js";
import {
  isApart,
  isReadBy,
  isWhole,
  opsOf,
  sliceOf,
  withOps,
  type Draft,
  type FusedColumns,
  type FusedOp,
  type Fusion,
  type FusionOptions,
} from "./fusion.js";
import { inline, isCheap, type Inlined } from "./inline.js";
import { matchPointwise, store } from "./pointwise.js";
import { PriorityQueue } from "./priority-queue.js";
import { matchRotary, rotary } from "./rotary.js";
import { matchRowSum, rowSum } from "./row-sums.js";
import { matchScatter, scatter } from "./scatter.js";

/**
 * The epilogues in the order of trial. The last kind here is dropped first, and of each kind the node that joined
 * last.
 */
const MATCHES = [matchRotary, matchPointwise, matchCacheWrite, matchRowSum] as const;

/** The fusion of a product of a matrix, or of rows of any rank, within the limit of storage buffers. */
export function fuseMatmul(product: RowProduct, columns: number, options: FusionOptions): Fusion {
  let draft = prune(grow(initialDraft(product, columns, options)));
  for (;;) {
    const fusion = fusionOf(draft);
    const mixed = fusion.columns.find(
      ({ epilogues }) => epilogues.some((e) => e.kind === "rotary") && epilogues.some((e) => e.kind === "store"),
    );
    const next = mixed ? withoutRotation(draft, mixed.slice) : fits(fusion, options) ? null : dropLast(draft);
    if (!next) return fusion;
    draft = prune(next);
  }
}

/** The initial fusion: the product, and slices of its columns if nothing else reads it. */
function initialDraft(product: RowProduct, columns: number, options: FusionOptions): Draft {
  const lead = product.types[0]!.shape.slice(0, -1);
  const empty: Draft = {
    product,
    columns,
    lead,
    prologue: prologueOf(product, options),
    ops: [],
    members: new Map(),
    options,
  };
  const whole = withOps(empty, [{ kind: "accumulator", node: product, slice: sliceOf(empty, 0, columns) }]);
  const readers = options.consumers.direct(product);
  const slices = readers.filter((n): n is Node<"slice"> => isOp(n, "slice") && n.attrs.axis === lead.length);
  if (options.required.has(product) || slices.length < readers.length) return whole;
  return slices.reduce(
    (draft, node) =>
      join(draft, { kind: "accumulator", node, slice: sliceOf(draft, node.attrs.start, node.attrs.stop) }),
    whole,
  );
}

const join = (draft: Draft, op: FusedOp): Draft => withOps(draft, [...draft.ops, op]);
const without = (draft: Draft, dropped: (op: FusedOp) => boolean): Draft =>
  withOps(
    draft,
    draft.ops.filter((op) => !dropped(op)),
  );

/**
 * The prologue: pointwise operators inlined into the load of a. Half of the buffers are left for b and the epilogues;
 * of a product of groups only those for b, where groups start, and the result: rows may be read through two indices.
 */
function prologueOf(
  product: RowProduct,
  { consumers, views, position, scheduledAt, isAssigned, mostBuffers }: FusionOptions,
): Inlined | null {
  const [a] = product.inputs;
  const found = inline(a, product, {
    consumers,
    views,
    byRow: true,
    before: position(product),
    scheduledAt,
    isAssigned,
    allows: isCheap,
  });
  const most = isOp(product, "grouped_matmul") ? mostBuffers - 3 : mostBuffers / 2;
  return found && found.reads.size <= most ? found : null;
}

function grow(start: Draft): Draft {
  const { consumers, position } = start.options;
  const queue = new PriorityQueue(position);
  const scatters: Node[] = [];
  const addReaders = (node: Node): void => {
    for (const reader of consumers.direct(node)) queue.add(reader);
  };
  for (const node of start.members.keys()) addReaders(node);
  let draft = start;
  for (let node = queue.next(); node; node = queue.next()) {
    if (isScatter(node)) scatters.push(node);
    if (draft.members.has(node) || draft.options.isAssigned(node)) continue;
    const op = firstMatch(node, draft);
    if (!op) continue;
    draft = join(draft, op);
    addReaders(op.node);
  }
  for (const node of scatters) {
    const op = matchScatter(node, draft);
    if (op) return join(draft, op);
  }
  return draft;
}
function firstMatch(node: Node, draft: Draft): FusedOp | null {
  for (const match of MATCHES) {
    const op = match(node, draft);
    if (op) return op;
  }
  return null;
}

// --- dropping
/** Drops values that would be stored for a single reader that can inline them from a value that is stored anyway. */
function prune(draft: Draft): Draft {
  const { consumers, required } = draft.options;
  const isRedundant = (node: Node): boolean => {
    if (!isPointwise(node) || !isStored(node, draft) || isRead(node, draft)) return false;
    const reader = consumers.soleReader(node);
    const own = node.inputs.filter((n) => draft.members.has(n));
    const outside = own.every((n) => consumers.direct(n).some((d) => !draft.members.has(d)) || required.has(n));
    return (
      reader !== null &&
      !reader.repeats &&
      !isOp(reader.node, "matmul") &&
      !isOp(reader.node, "grouped_matmul") &&
      outside
    );
  };
  const redundant = [...draft.members.keys()].toReversed().find(isRedundant);
  return redundant ? prune(withoutValue(draft, redundant)) : draft;
}
const isRead = (node: Node, draft: Draft): boolean =>
  isCached(node, draft) || draft.options.consumers.direct(node).some((n) => isReadBy(draft, n, node));
const isCached = (node: Node, draft: Draft): boolean => opsOf(draft, "cache write").some((op) => op.of === node);
const isStored = (node: Node, draft: Draft): boolean =>
  draft.options.required.has(node) ||
  (!isCached(node, draft) && draft.options.consumers.direct(node).some((n) => !isReadBy(draft, n, node)));

/** The draft without a value, its rotation and its cache write. */
const withoutValue = (draft: Draft, node: Node): Draft =>
  without(draft, (op) => op.node === node || ((op.kind === "rotary" || op.kind === "cache write") && op.of === node));
const withoutRotation = (draft: Draft, slice: ColumnSlice): Draft =>
  without(draft, (op) => (op.kind === "rotary" || op.kind === "cache write") && op.slice === slice);

/** The draft without the op that joined last; null where nothing can be dropped. */
function dropLast(draft: Draft): Draft | null {
  for (const kind of ["scatter", "row sum", "cache write"] as const) {
    const last = opsOf(draft, kind).at(-1);
    if (last) return without(draft, (op) => op === last);
  }
  const last = [...draft.members.keys()].at(-1)!;
  if (isPointwise(last)) return withoutValue(draft, last);
  const rotation = opsOf(draft, "rotary").at(-1);
  if (rotation) return withoutRotation(draft, rotation.slice);
  return draft.prologue && draft.prologue.reads.size > 1 ? { ...draft, prologue: null } : null;
}

// --- result
function fits(fusion: Fusion, { extents, mostBuffers }: FusionOptions): boolean {
  return storageBuffers(bindingsOf(fusion), fusion.product.types, extents) <= mostBuffers;
}

function bindingsOf({ product, prologue, columns, reads }: Fusion): readonly Bindings[] {
  const a = prologue?.reads ?? [product.inputs[0]];
  const starts = isOp(product, "grouped_matmul") ? [product.inputs[2]] : [];
  const own: Bindings = { reads: [...reads, ...a, ...starts], writes: [], own: 1 }; // b
  return [own, ...columns.flatMap(({ epilogues }) => epilogues.map((e) => e.buffers))];
}

function fusionOf(draft: Draft): Fusion {
  const { product, prologue, ops, members } = draft;
  const columns = [...new Set(members.values())].map((slice): FusedColumns => {
    return { slice, accumulators: accumulatorsOf(draft, slice), epilogues: epiloguesOf(draft, slice) };
  });
  const inlined = [...opsOf(draft, "pointwise").map((op) => op.inlined), ...(prologue ? [prologue] : [])];
  const scattered = opsOf(draft, "scatter");
  const nodes = new Set<Node>([
    ...members.keys(),
    ...opsOf(draft, "rotary").map((op) => op.node),
    ...opsOf(draft, "row sum").map((op) => op.node),
    ...scattered.flatMap((op) => [...op.sets.values()]),
    ...opsOf(draft, "cache write").map((op) => op.node),
    ...scattered.map((op) => op.node),
    ...inlined.flatMap((i) => [...i.operations]),
  ]);
  const reads = new Set(opsOf(draft, "pointwise").flatMap((op) => [...op.inlined.reads]));
  const pairs =
    ops.some((op) => op.kind === "rotary") || columns.some((c) => c.epilogues.length > 0 && c.slice.second !== null)
      ? pairsOf(draft)
      : 0;
  return { product, prologue, columns: columns.filter((c) => c.epilogues.length > 0), pairs, nodes, reads };
}

function epiloguesOf(draft: Draft, slice: ColumnSlice): readonly Epilogue[] {
  const { consumers, extents, required } = draft.options;
  const stored = [...draft.members].flatMap(([node, own]) => (own === slice && isStored(node, draft) ? [node] : []));
  const [only] = stored;
  const product = { node: draft.product, result: 0 };
  const shared =
    stored.length === 1 &&
    !isWhole(draft, slice) &&
    slice.second === null &&
    isApart(draft, slice) &&
    canLieAt(
      only!,
      columnsOf(extents, product, only!.types[0]!.shape, draft.columns, slice.start),
      consumers,
      extents,
    ) &&
    !required.has(only!);
  const cached = opsOf(draft, "cache write").find((op) => op.slice === slice) ?? null;
  const rotated = opsOf(draft, "rotary").find((op) => op.slice === slice);
  const scattered = isWhole(draft, slice) ? opsOf(draft, "scatter") : [];
  const sums = isWhole(draft, slice) && slice.second === null ? opsOf(draft, "row sum") : [];
  return [
    ...stored.map((node) => store(node, shared && !rotated, draft.product)),
    ...(rotated ? [rotary(rotated, cached, draft.product)] : cached ? [cacheWrite(cached)] : []),
    ...scattered.map(scatter),
    ...sums.map((op) => rowSum(op, scattered[0]?.sets.get(op.node) ?? null)),
  ];
}
