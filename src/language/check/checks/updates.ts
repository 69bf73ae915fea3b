// Checks reductions over the batch: state updates are computable in one pass over a step, no result mixes sequences,
// and in-batch negatives stand only in losses.
import type { Note } from "../../diagnostics/diagnostic.js";
import { addsUp, atomsOf, printSize } from "../../../ground/size/size.js";
import { axesOfModel, reachable, type ReportAt } from "../model/model-values.js";
import type { Model, Value } from "../model/model.js";
import { isBatch, isOp, type AxisLookup } from "../model/types.js";

const countsBatch =
  (axes: AxisLookup) =>
  ({ axis }: { readonly axis: string }): boolean =>
    axes.axis(axis).role === "batch";

/** Reports updates that would need a second pass over the sequences of a step. */
export function checkPasses(model: Model, reportAt: ReportAt): void {
  const axes = axesOfModel(model);
  const counts = countsBatch(axes);
  const reported = new Set<Value>();
  for (const { path: state, value: updated } of model.updates) {
    /** For each value that depends on the batch as a whole: the first reduction over the batch among its operands. */
    const reductions = new Map<Value, Value>();
    for (const value of reachable([updated])) {
      const before = value.inputs.flatMap((v) => reductions.get(v) ?? [])[0];
      const reduces = reducesBatch(value, axes);
      if (before !== undefined || reduces) reductions.set(value, before ?? value);
      if (!reduces || reported.has(value)) continue;
      const notes: Note[] = before === undefined ? [] : [{ text: "the reduction it depends on", span: before.span }];
      const size = isOp(value, "length") && !addsUp(value.attrs.size, counts) ? printSize(value.attrs.size) : null;
      const spread = isOp(value, "reduce") && value.attrs.fn === "var";
      if (before === undefined && size === null && !spread) continue;
      reported.add(value);
      const what = size !== null ? "size" : before === undefined ? "variance" : "reduction";
      reportAt(value, "two-pass-update", { state, what, ...(size === null ? {} : { size }) }, value.span, notes);
    }
  }
}

/** Reports each `contrast` that something other than a loss reads. Its value depends on all sequences of a step. */
export function checkContrasts(model: Model, reportAt: ReportAt): void {
  const readers: readonly (readonly [role: "result" | "update" | "observed value", values: readonly Value[]])[] = [
    ["result", model.outputs.map(({ value }) => value)],
    ["update", model.updates.map(({ value }) => value)],
    ["observed value", model.observes.map(({ value }) => value)],
  ];
  const reported = new Set<Value>();
  for (const [reader, values] of readers)
    for (const value of reachable(values))
      if (isOp(value, "contrast") && !reported.has(value)) {
        reported.add(value);
        reportAt(value, "contrast-outside-loss", { reader });
      }
}

/** Whether the value depends on all sequences: a reduction over the batch, a loss, or a size that counts sequences. */
function reducesBatch(value: Value, axes: AxisLookup): boolean {
  const [x] = value.inputs;
  const hasBatch = x?.type.shape.some((size) => isBatch(axes, size)) === true;
  if (isOp(value, "reduce")) return hasBatch && value.attrs.axes.includes(0);
  if (isOp(value, "length"))
    return [...atomsOf(value.attrs.size)].some((a) => a.kind !== "live" && countsBatch(axes)(a));
  return hasBatch && (isOp(value, "cross_entropy") || isOp(value, "bce"));
}

/**
 * Checks that no result with a batch axis reads a reduction over the batch. Losses, updates and observed values may
 * read such reductions, because they concern the whole step. Each reduction is reported once.
 */
export function checkSequences(model: Model, reportAt: ReportAt): void {
  const axes = axesOfModel(model);
  const results = model.outputs.flatMap(({ name, value }) =>
    value.type.shape.some((size) => isBatch(axes, size)) ? [{ name, value }] : [],
  );
  const reported = new Set<number>();
  for (const { name, value: result } of results)
    for (const value of reachable([result]))
      if (!reported.has(value.id) && reducesBatch(value, axes)) {
        reported.add(value.id);
        reportAt(value, "mixed-sequences", { result: results.length === 1 ? null : name });
      }
}
