// The KV-cache-write epilogue: rows of a slice, rotated if the slice is, are written to a cache.
import { isGather, isOp, type Node, isView } from "../../ir/graph.js";
import { isRowMajor, viewed, type Layout } from "../addressing/layout.js";
import type { Epilogue } from "./epilogue.js";
import { isFreeFor, isSettled, opsOf, type CacheWrite, type Draft } from "./fusion.js";
import { scattered } from "./scatter.js";

/** `head`: the first reader of a slice, or of its rotation, in a chain that ends in the set. */
export function matchCacheWrite(head: Node, draft: Draft): CacheWrite | null {
  const rotated = opsOf(draft, "rotary").find((op) => op.node === (isView(head) ? head.inputs[0] : head.inputs[2]));
  if (rotated) {
    const written = opsOf(draft, "cache write").some((op) => op.slice === rotated.slice);
    const set = rotated.alone && !written && setBehind(rotated.node, rotated.alone, draft);
    return set && isFreeFor(draft, set)
      ? { kind: "cache write", node: set, of: rotated.of, slice: rotated.slice }
      : null;
  }
  if (!isView(head)) return null;
  const of = head.inputs[0];
  const slice = draft.members.get(of);
  if (
    !slice ||
    slice.second !== null ||
    draft.members.get(draft.product) === slice ||
    isSettled(draft, slice) ||
    draft.lead.length !== 1
  )
    return null;
  const set = setBehind(of, { strides: [slice.stop - slice.start, 1], offset: 0, parts: 1 }, draft);
  return set && isFreeFor(draft, set) ? { kind: "cache write", node: set, of, slice } : null;
}

export const cacheWrite = ({ node, of }: CacheWrite): Epilogue => ({
  ...scattered(node, of),
  kind: "cache write",
  print: ({ ref, computed }) => `cache write ${computed(node)} of ${ref(of)}`,
});

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
