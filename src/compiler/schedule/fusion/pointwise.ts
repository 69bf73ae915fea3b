// The pointwise epilogue: operators applied to a product's accumulators. Their values are stored if something else
// reads them (`stores.ts`).
import { type Node, isPointwise } from "../../ir/graph.js";
import { equalShapes } from "../../ir/typing.js";
import { jointSlice } from "./column-pairs.js";
import { operationsOf, overwritten, type Draft, type EpilogueKind, type FusedOp } from "./fusion.js";
import { inline, MOST_OPERATIONS, type Inlined } from "./inline.js";

export const pointwise: EpilogueKind = { last: false, match };

function match(node: Node, draft: Draft): FusedOp | null {
  if (!isPointwise(node) || operationsOf(draft).length >= MOST_OPERATIONS) return null;
  const slice = jointSlice(draft, node.inputs);
  if (!slice || !equalShapes(node.types[0]!.shape, [...draft.lead, slice.stop - slice.start])) return null;
  const others = node.inputs.filter((input) => !draft.members.has(input)).map((input) => besides(input, node, draft));
  const inlined = others.flatMap((found) => found ?? []);
  if (inlined.length < others.length) return null;
  const operations = new Set(inlined.flatMap((i) => [...i.operations]));
  return {
    kind: pointwise,
    node,
    reader: node,
    value: node,
    slice,
    nodes: [node],
    inlined: { operations, reads: new Set(inlined.flatMap((i) => [...i.reads])) },
    pairs: 0,
    rows: [],
    epilogue: () => null,
  };
}

/**
 * The nodes that a joining node inlines for an operand from outside the fusion; null if the operand is not computed in
 * time, or other invocations write it.
 */
function besides(input: Node, reader: Node, draft: Draft): Inlined | null {
  const { consumers, views, position, scheduledAt, isAssigned } = draft.options;
  const assigned = (n: Node): boolean => isAssigned(n) || draft.members.has(n);
  const inlined = inline(input, reader, {
    consumers,
    views,
    before: position(draft.product),
    scheduledAt,
    isAssigned: assigned,
    allows: () => true,
  });
  if (!inlined || [...inlined.reads].some((n) => draft.members.has(n))) return null;
  return overwritten(draft).some((base) => inlined.reads.has(base)) ? null : inlined;
}
