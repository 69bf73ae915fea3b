// In phase generate a token must not depend on those after it: operations that read later tokens, as their rows say,
// are refused.
import { atomsOf } from "../../size/size.js";
import { axesOfModel, reachable, type ReportAt } from "../model-values.js";
import type { LogicalOp, Model, Value } from "../model.js";
import { operations, type Lengths } from "../operations.js";
import { isSequence, type AxisLookup } from "../types.js";

/**
 * Reports each value that breaks the causal rule. Losses, and what only they read, are exempt. In an objective that is
 * what its own body does with the results of the functions it calls; `madeInCall` tells the values that a call made
 * from it.
 */
export function checkCausality(model: Model, reportAt: ReportAt, madeInCall: (value: Value) => boolean): void {
  if (model.phase !== "generate") return;
  const lengths = lengthsOf(axesOfModel(model));
  for (const value of reachable(readByOthers(model, madeInCall))) {
    if (operations[value.op].tokens === "choice") {
      reportAt(value, "non-causal-choice", {});
      continue;
    }
    const what = readsAhead(value, lengths);
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

/** How a value reads later tokens, as a clause; null where it does not. */
function readsAhead<K extends LogicalOp>(value: Value<K>, lengths: Lengths): string | null {
  const { tokens } = operations[value.op];
  const clause = typeof tokens === "function" ? tokens(value, lengths) : null;
  return clause ?? (pairsTokens(value, lengths) ? "this pairs each token with all others" : null);
}

/** Broadcasting [B, T, 1] against [B, 1, T]: two sequence dimensions where no input had them. */
function pairsTokens(value: Value, { along }: Lengths): boolean {
  const count = (v: Value): number => v.type.shape.filter(along).length;
  return count(value) > 1 && value.inputs.length > 0 && value.inputs.every((i) => count(i) < 2);
}

const lengthsOf = (axes: AxisLookup): Lengths => ({
  along: (size) => size !== undefined && isSequence(axes, size),
  mentions: (size) => [...atomsOf(size)].some((a) => a.kind !== "live" && axes.axis(a.axis).role === "sequence"),
});
