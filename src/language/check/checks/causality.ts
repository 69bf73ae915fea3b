// Checks the causal rule: in phase generate no token may depend on later ones, so operations that read later tokens are
// refused.
import { atomsOf } from "../../../ground/size/size.js";
import { axesOfModel, reachable, type ReportAt } from "../model/model-values.js";
import type { LogicalOp, Model, Value } from "../model/model.js";
import { leavesOf, pairInputs, pairPart } from "../model/pairs.js";
import { operations, type Lengths } from "../model/operations.js";
import { axisName, isOp, isSequence, type AxisLookup } from "../model/types.js";

/**
 * Reports each value that breaks the causal rule. Losses, and values that only losses read, are exempt. In an objective
 * this exempts what its own body computes from the results of the functions it calls; `madeInCall` tells which values a
 * called function computed.
 */
export function checkCausality(model: Model, reportAt: ReportAt, madeInCall: (value: Value) => boolean): void {
  if (model.phase !== "generate") return;
  const lengths = lengthsOf(axesOfModel(model));
  for (const value of reachable(readByOthers(model, madeInCall), readFrom)) {
    if (operations[value.op].tokens === "choice") {
      reportAt(value, "non-causal-choice", isOp(value, "top_tokens") ? { entries: true } : {});
      continue;
    }
    const what = readsAhead(value, lengths);
    if (what !== null) reportAt(value, "non-causal-op", { what });
  }
}

/** The inputs of a value; for an attention's mask and bias, the values from which its pairs are made. */
function readFrom(value: Value): readonly Value[] {
  if (!isOp(value, "pair_attention") && !isOp(value, "mass")) return value.inputs;
  const { rows, weight, mask, bias } = pairInputs(value);
  const [query, key] = rows.map((x) => axisName(x.type.shape.at(-2) ?? 1) ?? "");
  const pairs = [mask, bias].flatMap((x) =>
    x ? [...leavesOf(pairPart(x, { query: query ?? "", key: key ?? "" }))] : [],
  );
  return [...rows, ...(weight ? [weight] : []), ...pairs];
}

/** The values that must be causal: results and observed values; in an objective, values from called functions. */
function readByOthers(model: Model, madeInCall: (value: Value) => boolean): readonly Value[] {
  const observed = model.observes.map((o) => o.value);
  if (model.entry === "forward") return [...model.outputs.map((o) => o.value), ...observed];
  const ownLosses = model.losses.filter((l) => l.own).map((l) => l.value);
  return [...reachable(ownLosses, (v) => (madeInCall(v) ? [] : v.inputs)).filter(madeInCall), ...observed];
}

/** A clause that describes how a value reads later tokens; null if it does not. */
function readsAhead<K extends LogicalOp>(value: Value<K>, lengths: Lengths): string | null {
  const { tokens } = operations[value.op];
  const clause = typeof tokens === "function" ? tokens(value, lengths) : null;
  if (isOp(value, "input") && value.type.shape.filter(lengths.along).length > 1)
    return "this input has a value for each pair of tokens";
  return clause ?? (pairsTokens(value, lengths) ? "this pairs each token with all others" : null);
}

/**
 * Whether broadcasting pairs tokens, as of [B, T, 1] with [B, 1, T]: the result has two sequence dimensions and no
 * input does.
 */
function pairsTokens(value: Value, { along }: Lengths): boolean {
  const count = (v: Value): number => v.type.shape.filter(along).length;
  return count(value) > 1 && value.inputs.length > 0 && value.inputs.every((i) => count(i) < 2);
}

const lengthsOf = (axes: AxisLookup): Lengths => ({
  along: (size) => size !== undefined && isSequence(axes, size),
  mentions: (size) => [...atomsOf(size)].some((a) => a.kind !== "live" && axes.axis(a.axis).role === "sequence"),
});
