// The row-sum epilogue: the row sums of the next norm or router, computed by the product that writes the rows, as a
// partial sum for each panel of columns.
import { isOp, type Node } from "../../ir/graph.js";
import { packedAxis } from "../../ir/typing.js";
import type { Epilogue } from "./epilogue.js";
import { isSettled, isWhole, opsOf, type Draft, type EpilogueKind, type FusedOp } from "./fusion.js";

interface RowSum extends FusedOp {
  readonly node: Node<"sum">;
}

export const rowSum: EpilogueKind<RowSum> = { last: false, match };

const MOST_SUMS = 4;

function match(node: Node, draft: Draft): RowSum | null {
  if (!isOp(node, "sum")) return null;
  const { required, sumsOver } = draft.options;
  const slice = draft.members.get(node.inputs[0]);
  const along = node.attrs.axes.length === 1 && node.attrs.axes[0] === draft.lead.length;
  if (!slice || isSettled(draft, slice) || !isWhole(draft, slice)) return null;
  const full = opsOf(draft, rowSum).length === MOST_SUMS;
  if (sumsOver === null || !along || full || required.has(node) || node.types[0]!.dtype !== "f32") return null;
  if (!canBePartial(node, draft)) return null;
  return {
    kind: rowSum,
    node,
    reader: node,
    value: node.inputs[0],
    slice,
    nodes: [node],
    inlined: null,
    pairs: 0,
    rows: [],
    epilogue: ({ ops }) => epilogue(node, ops.flatMap((op) => op.nodes).find((n) => isSetOf(n, node)) ?? null),
  };
}

const isSetOf = (node: Node, sum: Node): node is Node<"set"> => isOp(node, "set") && node.inputs[2] === sum;

/** `set`: the set by which sums of scattered rows replace the old sums. */
const epilogue = (node: Node<"sum">, set: Node<"set"> | null): Epilogue => ({
  stores: "other",
  value: node.inputs[0],
  nodes: set ? [node, set] : [node],
  buffers: { reads: [], writes: [node] },
  reads: [],
  rows: [],
  sums: [{ sum: node, set }],
  bind(results) {
    const result = set ? results.replaced(set) : results.partial(node);
    const index = set && results.input(set.inputs[1]);
    const { panels } = results;
    return {
      kind: "sum",
      result,
      key: `row sum ${result} ${panels} ${index}`,
      inputsInWords: [],
      resultInWords: true,
      keep(kernel, sum) {
        const row = index === null ? "row" : `${kernel.inputOnce(index, "u32")}[row]`;
        return `  y${result}[${row} * ${kernel.size(panels)} + panel] = ${sum};\n`;
      },
    };
  },
  print: ({ computed }) => `row sum ${computed(node)}${set ? `, set in ${computed(set)}` : ""}`,
});

/** Whether all readers of the sums can add up partial sums. */
export function canBePartial(sums: Node, draft: Draft): boolean {
  const { whole, consumers } = draft.options;
  return !whole.has(sums) && consumers.isInlinedByAll(sums, (r) => r.op !== "top" || addsUp(r, draft));
}

/** Whether a selection may add up the partial sums of its scores. */
function addsUp(selection: Node, { columns, options: { extents, scores, sumsOver } }: Draft): boolean {
  const axis = packedAxis(selection.inputs[0].types[0]!.shape[0]!);
  const tokens = axis === null ? null : extents.most(axis);
  return tokens !== null && tokens <= scores.tokens && Math.ceil(columns / sumsOver!) <= scores.panels;
}
