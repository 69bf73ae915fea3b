// The scatter epilogue: rows of a product are added to, or set in, rows of another value, in place.
import { isOp, type Node, isScatter } from "../../ir/graph.js";
import { printSize, type Size } from "../../../ground/size/size.js";
import { dtypeAt } from "../kernels/expression-text.js";
import type { Bindings } from "./buffers.js";
import type { Bound, ColumnSlice, Epilogue } from "./epilogue.js";
import {
  baseOf,
  isFreeFor,
  isSettled,
  isWhole,
  loads,
  operationsOf,
  opsOf,
  type Draft,
  type EpilogueKind,
  type FusedOp,
} from "./fusion.js";
import type { Results } from "./results.js";
import { canBePartial, rowSum } from "./row-sums.js";
import { wordOf } from "./stores.js";

/** The sets of its row sums are among its nodes. */
export const scatter: EpilogueKind = { last: true, match };

function match(node: Node, draft: Draft): FusedOp | null {
  if (!isScatter(node)) return null;
  const { consumers, scheduledAt, isAssigned, position } = draft.options;
  const before = position(draft.product);
  const [x, index, of] = node.inputs;
  const slice = draft.members.get(of);
  const fits = node.attrs.dim === 0 && draft.lead.length === 1 && isWhole(draft, slice) && slice!.second === null;
  if (!fits || isAssigned(node) || scheduledAt(x) >= before || scheduledAt(index) >= before || isSettled(draft, slice))
    return null;
  const within = (r: Node): boolean =>
    r === node || draft.members.has(r) || opsOf(draft, rowSum).some((op) => op.node === r);
  if (!consumers.isInlinedByAll(of, within)) return null;
  // A separate kernel for these rows would run later, after all other reads of x.
  const alone = consumers.isInlinedByAll(of, (r) => r === node);
  if (!alone && consumers.readers(x).some(({ node: r }) => r === null || (!within(r) && scheduledAt(r) >= before)))
    return null;
  if (loads(draft, x) || !readsOnlyAt(x, index, draft)) return null;
  return {
    kind: scatter,
    node,
    reader: node,
    value: of,
    slice: slice!,
    nodes: [...opsOf(draft, rowSum).flatMap((op) => setOf(op.node, node, draft)), node],
    inlined: null,
    pairs: 0,
    rows: [node],
    epilogue: () => ({ ...scattered(node, of), print: ({ computed }) => `scatter ${computed(node)}` }),
  };
}

/** The epilogue of scatters and of cache writes, without its text. */
export const scattered = (node: Node<"put" | "set">, of: Node): Omit<Epilogue, "print"> => ({
  stores: "other",
  value: of,
  nodes: [node],
  buffers: scatterBindings(node),
  reads: [],
  rows: [node],
  sums: [],
  bind: (results, slice) => scatterAt(scatterPlace(node, results, slice), isOp(node, "set")),
});

/** The result shares the binding of the value it updates. */
export const scatterBindings = (node: Node<"put" | "set">): Bindings => ({
  reads: [node.inputs[1]],
  writes: [node],
  replaces: node.inputs[0],
});

/** Row `row` is row index[row] of something so wide; `index` is an input of the kernel. */
export interface ScatterPlace {
  readonly result: number;
  readonly index: number;
  readonly stride: Size;
}

export function scatterPlace(node: Node<"put" | "set">, results: Results, { start, stop }: ColumnSlice): ScatterPlace {
  const index = results.input(node.inputs[1]);
  return { result: results.replaced(node), index, stride: stop - start };
}

/** Rows are added to in f32. */
const scatterAt = ({ result, index, stride }: ScatterPlace, replaces: boolean): Bound => ({
  kind: "statement",
  result,
  key: `scatter ${result} ${printSize(stride)}*[${index}]${replaces ? "=" : "+="}`,
  inputsInWords: [],
  resultInWords: true,
  wgsl(text) {
    const { kernel, expression, place, codecs } = text;
    const word = wordOf(text, result);
    const at = `${kernel.inputOnce(index, "u32")}[row] * ${kernel.size(stride)} + k`;
    if (replaces) return `y${result}[${at}] = ${word};`;
    const sum = `y${result}[${at}] + ${text.text.name(place)}`;
    return `y${result}[${at}] = ${codecs[result]!.store(sum, dtypeAt(expression, place))};`;
  },
  into: { stride, offset: 0, index, adds: !replaces },
});

/** Whether the fused operators read of x only the element that they then write. */
function readsOnlyAt(x: Node, index: Node, draft: Draft): boolean {
  const base = baseOf(x, draft.options);
  return operationsOf(draft).every((n) =>
    n.inputs.every(
      (input) =>
        baseOf(input, draft.options) !== base ||
        (isOp(input, "take") && input.attrs.dim === 0 && input.inputs[0] === x && input.inputs[1] === index),
    ),
  );
}

/** The set that stores the row sum of scattered rows in place of the old sum, if that has as many partial sums. */
function setOf(sum: Node<"sum">, scattered: Node, draft: Draft): readonly Node<"set">[] {
  const { consumers, required, scheduledAt, isAssigned, partialSums, sumsOver, position } = draft.options;
  const [set, ...more] = consumers.direct(sum);
  if (!set || more.length > 0 || !isOp(set, "set") || isAssigned(set) || required.has(set)) return [];
  const [x, index, rows] = set.inputs;
  const fits =
    rows === sum &&
    index === scattered.inputs[1] &&
    set.attrs.dim === 0 &&
    partialSums(x) === Math.ceil(draft.columns / sumsOver!);
  return fits && scheduledAt(x) < position(draft.product) && isFreeFor(draft, set) && canBePartial(set, draft)
    ? [set]
    : [];
}
