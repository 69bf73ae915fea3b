// Stores of a product's accumulators, and of values computed from them, that something else reads.
import type { Node } from "../../ir/graph.js";
import { printSize, type Size } from "../../../ground/size/size.js";
import { dtypeAt, stored } from "../kernels/expression-text.js";
import { columnsOf } from "../addressing/layout.js";
import { canLieAt } from "../addressing/views.js";
import type { Bound, ColumnSlice, Epilogue, SliceText } from "./epilogue.js";
import { isApart, isStored, isWhole, type Draft } from "./fusion.js";

/** The stores of a slice's values. A single one may be stored in its columns of the product's memory. */
export function storesOf(draft: Draft, slice: ColumnSlice): readonly Epilogue[] {
  const { consumers, extents, required } = draft.options;
  const values = [...draft.members].flatMap(([node, own]) => (own === slice && isStored(draft, node) ? [node] : []));
  const [only] = values;
  const product = { node: draft.product, result: 0 };
  const isShared =
    values.length === 1 &&
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
  return values.map((node) => store(node, isShared, draft.product));
}

/** `isShared`: in its columns of the product's memory. */
const store = (node: Node, isShared: boolean, product: Node): Epilogue => ({
  stores: isShared ? "columns" : "own",
  value: node,
  nodes: [],
  buffers: { reads: [], writes: [isShared ? product : node] },
  reads: [],
  rows: [],
  sums: [],
  bind(results, { start, stop }) {
    if (!isShared) return storeAt({ result: results.inRows(node), stride: stop - start, offset: 0 });
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
