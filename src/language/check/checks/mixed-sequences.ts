// Warns of a sequence's results that depend on other sequences in the batch.
import { axesOfModel, reachable, type ReportAt } from "../model-values.js";
import type { Model } from "../model.js";
import { isBatch } from "../types.js";
import { reducesBatch } from "./updates.js";

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
