// Warns of a router that cannot learn: a score that decides a route but reaches no loss through a differentiable path.
import { isFloat } from "../../base/dtype.js";
import { reachable, rootsOf, type ReportAt } from "../model-values.js";
import type { Model, Value } from "../model.js";
import { operations } from "../operations.js";
import { isChoice } from "../types.js";

/**
 * Checks routers in phase train of a model with losses. A score that depends on no weight is ignored; a score that is
 * computed a second time for the gate learns through the gate.
 */
export function checkRouters(model: Model, reportAt: ReportAt): void {
  if (model.phase !== "train" || model.losses.length === 0) return;
  const values = reachable(rootsOf(model));
  const trained = new Set(
    reachable(
      model.losses.map((l) => l.value),
      gradientInputs,
    ),
  );
  const weights = dependents(values, (v) => v.inputs);
  const learners = dependents(values, gradientInputs);
  const elsewhere = trainedElsewhere(values, trained);
  const routers = new Set<Value>();
  for (const route of values) {
    const [score] = route.inputs;
    if (!isChoice(route) || !score || routers.has(score)) continue;
    routers.add(score);
    if (weights.has(score) && !receivesGradient(score, trained, learners) && elsewhere.get(score) !== true)
      reportAt(score, "dead-router", { choice: route.op });
  }
}

/** The inputs that receive a gradient of the value: floats only. */
function gradientInputs(value: Value): readonly Value[] {
  if (operations[value.op].stops || !isFloat(value.type.dtype)) return [];
  return value.inputs.filter((v) => isFloat(v.type.dtype));
}

/** The values that depend on a weight through the inputs that `inputs` selects; `values` are in ascending order. */
function dependents(values: readonly Value[], inputs: (value: Value) => readonly Value[]): ReadonlySet<Value> {
  const found = new Set<Value>();
  for (const v of values) if (v.op === "weight" || inputs(v).some((i) => found.has(i))) found.add(v);
  return found;
}

/**
 * For each value that depends on weights other than through trained values: whether all of these weights are trained
 * elsewhere.
 */
function trainedElsewhere(values: readonly Value[], trained: ReadonlySet<Value>): ReadonlyMap<Value, boolean> {
  const all = new Map<Value, boolean>();
  for (const v of values) {
    if (v.op === "weight") all.set(v, trained.has(v));
    if (v.op === "weight" || trained.has(v)) continue;
    const known = gradientInputs(v).flatMap((i) => all.get(i) ?? []);
    if (known.length > 0)
      all.set(
        v,
        known.every((k) => k),
      );
  }
  return all;
}

/**
 * Whether a gradient reaches a weight through the score itself, or through the value that the score is an elementwise
 * function of alone (such as the logit of a sigmoid that only the choice uses). That value must have one number per
 * score, like a logit; a row of features is not enough.
 */
function receivesGradient(score: Value, trained: ReadonlySet<Value>, learners: ReadonlySet<Value>): boolean {
  const numbers = (v: Value): number => v.type.shape.filter((size) => size !== 1).length;
  for (let v: Value | undefined = score; v && numbers(v) === numbers(score);) {
    if (trained.has(v)) return learners.has(v);
    const inputs: readonly Value[] = gradientInputs(v).filter((i) => i.op !== "number" && i.op !== "live");
    v = inputs.length === 1 ? inputs[0] : undefined;
  }
  return false;
}
