// The KV-cache-write epilogue: rows of a slice, rotated if the slice is, are written to a cache.
import { isGather, isOp, type Node, isView } from "../../ir/graph.js";
import { isRowMajor, viewed, type Layout } from "../addressing/layout.js";
import type { ColumnSlice, Epilogue } from "./epilogue.js";
import { isFreeFor, isSettled, opsOf, type Draft, type EpilogueKind, type FusedOp } from "./fusion.js";
import { rotary } from "./rotary.js";
import { scattered } from "./scatter.js";

export const cacheWrite: EpilogueKind = { last: false, match };

/** Rows that may be written to a cache. */
interface Rows {
  readonly value: Node;
  readonly slice: ColumnSlice;
  /** The value, or its rotation. */
  readonly node: Node;
  /** The layout if the slice has its own memory. */
  readonly alone: Omit<Layout, "value"> | null;
}

/** `head`: the first reader of a slice, or of its rotation, in a chain that ends in the set. */
function match(head: Node, draft: Draft): FusedOp | null {
  const rotated = opsOf(draft, rotary).find((op) => op.node === (isView(head) ? head.inputs[0] : head.inputs[2]));
  const rows: Rows | null = rotated ?? sliceReadBy(head, draft);
  if (!rows || draft.ops.some((op) => op.slice === rows.slice && op.rows.length > 0)) return null;
  const { value, slice, node, alone } = rows;
  const set = alone && setBehind(node, alone, draft);
  if (!set || !isFreeFor(draft, set)) return null;
  const print: Epilogue["print"] = ({ ref, computed }) => `cache write ${computed(set)} of ${ref(value)}`;
  return {
    kind: cacheWrite,
    node: set,
    reader: head,
    value,
    slice,
    nodes: [set],
    inlined: null,
    pairs: 0,
    rows: [set],
    // The epilogue of a rotation includes the write of the rotated heads.
    epilogue: () => (rotated ? null : { ...scattered(set, value), print }),
  };
}

function sliceReadBy(head: Node, draft: Draft): Rows | null {
  if (!isView(head) || draft.lead.length !== 1) return null;
  const value = head.inputs[0];
  const slice = draft.members.get(value);
  if (!slice || slice.second !== null || draft.members.get(draft.product) === slice || isSettled(draft, slice))
    return null;
  return { value, slice, node: value, alone: { strides: [slice.stop - slice.start, 1], offset: 0, parts: 1 } };
}

/**
 * The set that stores all of `from`, its only reader through structure, if each row of the set is a row of `from` in
 * memory order and its other inputs are computed before the product; else null.
 */
function setBehind(from: Node, lies: Omit<Layout, "value">, { product, options }: Draft): Node<"set"> | null {
  const { consumers, extents, required, scheduledAt, isAssigned, position } = options;
  const before = position(product);
  let at = from;
  let layout: Layout | null = { value: { node: from, result: 0 }, ...lies };
  while (layout && !required.has(at)) {
    const [next, ...more] = consumers.direct(at);
    if (!next || more.length > 0) return null;
    if (isOp(next, "set")) {
      const [x, index, rows] = next.inputs;
      const ready = !isAssigned(next) && scheduledAt(x) < before && scheduledAt(index) < before;
      return ready && next.attrs.dim === 0 && rows === at && isRowMajor(extents, layout, at.types[0]!.shape)
        ? next
        : null;
    }
    if (!isView(next) || isGather(next) || consumers.isCopied(next)) return null;
    layout = viewed(extents, next, layout);
    at = next;
  }
  return null;
}
