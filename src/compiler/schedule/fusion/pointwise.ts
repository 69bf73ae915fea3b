// The pointwise epilogue: operators applied to a product's accumulators, and stored if something else reads the
// result.
import { type Node, isPointwise } from "../../ir/graph.js";
import { equalShapes } from "../../ir/typing.js";
import { printSize, type Size } from "../../../ground/size/size.js";
import { dtypeAt, stored } from "../addressing/expression-text.js";
import { jointSlice } from "./column-pairs.js";
import type { Bound, Epilogue, SliceText } from "./epilogue.js";
import { baseOf, operationsOf, opsOf, type Draft, type Pointwise } from "./fusion.js";
import { inline, MOST_OPERATIONS, type Inlined } from "./inline.js";

export function matchPointwise(node: Node, draft: Draft): Pointwise | null {
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
}

/** `isShared`: where its columns stand in the memory of the product. */
export const store = (node: Node, isShared: boolean, product: Node): Epilogue => ({
  kind: isShared ? "column store" : "store",
  value: node,
  nodes: [],
  buffers: { reads: [], writes: [isShared ? product : node] },
  reads: [],
  rows: [],
  sums: [],
  bind(results, { start, stop }) {
    if (!isShared) return storeAt({ result: results.own(node), stride: stop - start, offset: 0 });
    results.place(node, start);
    return storeAt({ result: results.shared(), stride: results.columns, offset: start });
  },
  print: ({ ref }) => `store ${ref(node)}${isShared ? " where its columns stand" : ""}`,
});

/** Row `row` begins at row · stride + offset. */
export interface StorePlace {
  readonly result: number;
  readonly stride: Size;
  readonly offset: Size;
}

const storeAt = ({ result, stride, offset }: StorePlace): Bound => ({
  kind: "statement",
  result,
  key: `store ${result} ${printSize(stride)}+${printSize(offset)}`,
  inputsInWords: [],
  resultInWords: false,
  wgsl(text) {
    const { kernel } = text;
    const word = wordOf(text, result);
    const row = stride === 1 ? "row" : `row * ${kernel.size(stride)}`;
    const from = offset === 0 ? "" : ` + ${kernel.size(offset)}`;
    return `y${result}[${row}${from} + k] = ${word};`;
  },
  into: { stride, offset, index: null, adds: false },
});

/** The stored form of an element of the epilogue's value. */
export function wordOf({ expression, text, place, codecs }: SliceText, result: number): string {
  return stored(text.name(place), dtypeAt(expression, place), codecs[result]!);
}

/**
 * What a joining node inlines for an operand from outside the fusion; null where that is not computed in time, or other
 * invocations write it.
 */
function besides(input: Node, reader: Node, draft: Draft): Inlined | null {
  const { consumers, views, position, scheduledAt, isAssigned } = draft.options;
  const assigned = (n: Node): boolean => isAssigned(n) || draft.members.has(n);
  const found = inline(input, reader, {
    consumers,
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
