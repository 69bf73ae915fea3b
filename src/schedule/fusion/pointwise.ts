// The epilogue of pointwise operators: what they make of a product's sums, computed where those are, and stored where
// something else reads it.
import { type Node, isPointwise } from "../../ir/graph.js";
import { equalShapes } from "../../ir/typing.js";
import { printSize } from "../../size/size.js";
import { dtypeAt, stored } from "../addressing/expression-text.js";
import { jointSlice } from "./column-pairs.js";
import type { BoundStore, EpilogueKind, SliceText } from "./epilogue.js";
import { baseOf, operationsOf, opsOf, type Draft } from "./fusion.js";
import { inline, MOST_OPERATIONS, type Inlined } from "./inline.js";

export const pointwise: EpilogueKind<"pointwise", "store", BoundStore> = {
  match(node, draft) {
    if (!isPointwise(node) || operationsOf(draft).length >= MOST_OPERATIONS) return null;
    const slice = jointSlice(draft, node.inputs);
    if (!slice || !equalShapes(node.types[0]!.shape, [...draft.lead, slice.stop - slice.start])) return null;
    const others = node.inputs.filter((input) => !draft.members.has(input)).map((input) => besides(input, node, draft));
    const inlined = others.flatMap((found) => found ?? []);
    if (inlined.length < others.length) return null;
    const operations = new Set(inlined.flatMap((i) => [...i.operations]));
    return {
      kind: "pointwise",
      node,
      slice,
      inlined: { operations, reads: new Set(inlined.flatMap((i) => [...i.reads])) },
    };
  },
  buffers: ({ node, shared }, product) => ({ reads: [], writes: [shared ? product : node] }),
  results({ node, shared }, results, { start, stop }) {
    if (!shared) return { kind: "store", result: results.own(node), stride: stop - start, offset: 0 };
    results.place(node, start);
    return { kind: "store", result: results.shared(), stride: results.columns, offset: start };
  },
  key: ({ result, stride, offset }) => `${result} ${printSize(stride)}+${printSize(offset)}`,
  wgsl({ result, stride, offset }, text) {
    const { kernel } = text;
    const word = wordOf(text, result);
    const row = stride === 1 ? "row" : `row * ${kernel.size(stride)}`;
    const from = offset === 0 ? "" : ` + ${kernel.size(offset)}`;
    return `y${result}[${row}${from} + k] = ${word};`;
  },
};

/** An element of the epilogue's value as it is stored. */
export function wordOf({ expression, text, place, codecs }: SliceText, result: number): string {
  return stored(text.name(place), dtypeAt(expression, place), codecs[result]!);
}

/** What a joining node reads from outside, if that is there in time and no other invocation writes there. */
function besides(input: Node, reader: Node, draft: Draft): Inlined | null {
  const { demand, views, position, scheduledAt, isAssigned } = draft.options;
  const assigned = (n: Node): boolean => isAssigned(n) || draft.members.has(n);
  const found = inline(input, reader, {
    demand,
    views,
    before: position(draft.product),
    scheduledAt,
    isAssigned: assigned,
    allows: () => true,
  });
  if (!found || [...found.reads].some((n) => draft.members.has(n))) return null;
  const writes = opsOf(draft, "cache write").map((op) => baseOf(op.node.inputs[0], draft.options));
  return writes.some((base) => found.reads.has(base)) ? null : found;
}
