// In phase generate a token must not depend on those after it: `top`, and whatever looks along a sequence, is refused.
import { atomsOf, type Size } from "../size/size.js";
import { axesOfModel, reachable, type ReportAt } from "./model-values.js";
import type { Model, Value } from "./model.js";
import { isOp, isSequence, sequenceDims, type AxisLookup } from "./types.js";

/**
 * Reports each value that breaks the causal rule. Losses, and what only they read, are exempt. In an objective that is
 * what its own body does with the results of the functions it calls; `madeInCall` tells the values that a call made
 * from it.
 */
export function checkCausality(model: Model, reportAt: ReportAt, madeInCall: (value: Value) => boolean): void {
  if (model.phase !== "generate") return;
  const axes = axesOfModel(model);
  for (const value of reachable(readByOthers(model, madeInCall))) {
    if (value.op === "top") {
      reportAt(value, "non-causal-choice", {});
      continue;
    }
    const what = looksAhead(axes, value);
    if (what !== null) reportAt(value, "non-causal-op", { what });
  }
}

/** What counts: results and observed values; of an objective, what its calls gave it. */
function readByOthers(model: Model, madeInCall: (value: Value) => boolean): readonly Value[] {
  const observed = model.observes.map((o) => o.value);
  if (model.entry === "forward") return [...model.outputs.map((o) => o.value), ...observed];
  const own = model.losses.filter((l) => l.own).map((l) => l.value);
  return [...reachable(own, (v) => (madeInCall(v) ? [] : v.inputs)).filter(madeInCall), ...observed];
}

/** How a value looks at other tokens than its own, as a clause; null where it does not. */
function looksAhead(axes: AxisLookup, value: Value): string | null {
  const along = (input: number, dim: number): boolean => isSequence(axes, value.inputs[input]?.type.shape.at(dim) ?? 1);
  if (isOp(value, "reduce"))
    return value.attrs.axes.some((a) => along(0, a)) ? `\`${value.attrs.fn}\` reads all tokens of the sequence` : null;
  if (isOp(value, "softmax")) return along(0, value.attrs.axis) ? "`softmax` reads all tokens of the sequence" : null;
  if (isOp(value, "matmul")) {
    if (along(0, -1)) return "this product sums over the sequence";
    if (along(1, -1) && along(0, -2)) return "this product pairs a token with all others";
  }
  if (isOp(value, "attention")) return value.attrs.causal ? null : "attention without `causal: true` sees later tokens";
  if (isOp(value, "span") || isOp(value, "token")) return "indexing along the sequence reads other tokens";
  if (isOp(value, "join")) return "concatenation along the sequence moves tokens";
  if (isOp(value, "length"))
    return mentionsSequence(axes, value.attrs.size) ? "the length of the sequence is known at its end" : null;
  if (isOp(value, "count")) return "how many tokens a route chose is known at the end of the sequence";
  if (isOp(value, "cross_entropy") || isOp(value, "bce"))
    return sequenceDims(axes, value.inputs[0]?.type.shape ?? []).length > 0
      ? "this loss is a mean over all tokens"
      : null;
  return pairsTokens(axes, value) ? "this pairs each token with all others" : null;
}

const mentionsSequence = (axes: AxisLookup, size: Size): boolean =>
  [...atomsOf(size)].some((a) => a.kind !== "live" && axes.axis(a.axis).role === "sequence");

/** Broadcasting [B, T, 1] against [B, 1, T]: two sequence dimensions where no input had them. */
function pairsTokens(axes: AxisLookup, value: Value): boolean {
  const count = (v: Value): number => sequenceDims(axes, v.type.shape).length;
  return count(value) > 1 && value.inputs.length > 0 && value.inputs.every((i) => count(i) < 2);
}
