// The epilogue of row sums: what the next norm or router sums over each row is summed while the row is there, panel by
// panel of columns.
import { isOp, type Node } from "../../ir/graph.js";
import { packedAxis } from "../../ir/typing.js";
import type { BoundRowSum, EpilogueKind } from "./epilogue.js";
import { isSettled, isWhole, opsOf, type Draft } from "./fusion.js";

const MOST_SUMS = 4;

export const rowSums: EpilogueKind<"row sum", "row sum", BoundRowSum> = {
  match(node, draft) {
    if (!isOp(node, "sum")) return null;
    const { required, sumsOver } = draft.options;
    const slice = draft.members.get(node.inputs[0]);
    const along = node.attrs.axes.length === 1 && node.attrs.axes[0] === draft.lead.length;
    if (!slice || isSettled(draft, slice) || !isWhole(draft, slice)) return null;
    const full = opsOf(draft, "row sum").length === MOST_SUMS;
    if (sumsOver === null || !along || full || required.has(node) || node.types[0]!.dtype !== "f32") return null;
    return canBePartial(node, draft) ? { kind: "row sum", node, slice } : null;
  },
  buffers: ({ node }) => ({ reads: [], writes: [node] }),
  results: ({ node, set }, results) =>
    set
      ? { kind: "row sum", result: results.replaced(set), panels: results.panels, index: results.input(set.inputs[1]) }
      : { kind: "row sum", result: results.partial(node), panels: results.panels, index: null },
  key: (bound) => JSON.stringify(bound),
  /** What the slice's function returns of it. */
  wgsl: (_bound, { text, place }) => text.name(place),
};

/** Whether all that reads sums can add up the partial sums of panels. */
export function canBePartial(sums: Node, draft: Draft): boolean {
  const { whole, demand } = draft.options;
  return !whole.has(sums) && demand.isReadWithin(sums, (r) => r.op !== "top" || addsUp(r, draft));
}

/** Whether a selection may add up the panels of its scores. */
function addsUp(selection: Node, { columns, options: { extents, scores, sumsOver } }: Draft): boolean {
  const axis = packedAxis(selection.inputs[0].types[0]!.shape[0]!);
  const tokens = axis === null ? null : extents.most(axis);
  return tokens !== null && tokens <= scores.tokens && Math.ceil(columns / sumsOver!) <= scores.panels;
}
