// Warns of a router that cannot learn: a weight that decides a choice of tokens but gets no gradient in any way.
import { isFloat } from "../../../ground/base/dtype.js";
import type { Size } from "../../../ground/size/size.js";
import { reachable, rootsOf, type ReportAt } from "../model/model-values.js";
import type { Model, Value } from "../model/model.js";
import { operations } from "../model/operations.js";
import { isOp, stopsGradient } from "../model/types.js";

/**
 * Checks the weights that reach a choice in phase train, for a model with losses.
 * The check looks at weights, not at scores: a score and a gate made from one logit learn together. Inputs of a choice
 * that come from another choice are left out, because their weights are reported at that choice. Each weight is
 * reported once, together with the other weights of the same score.
 */
export function checkRouters(model: Model, reportAt: ReportAt, isLibrary: (file: string) => boolean): void {
  if (model.phase !== "train" || model.losses.length === 0) return;
  const values = reachable(rootsOf(model));
  const trained = new Set(
    reachable(
      model.losses.map((l) => l.value),
      gradientInputs,
    ),
  );
  const reported = new Set<Value>();
  /** The weights without a gradient on which a value depends, except for weights already reported. */
  const dead = new Map<Value, ReadonlySet<Value>>();
  for (const value of values) {
    const { kind, measures } = operations[value.op];
    if (kind === "choice" || kind === "entries")
      for (const input of value.inputs) {
        const unreported = [...(dead.get(input) ?? [])].filter((weight) => !reported.has(weight));
        const [first, ...others] = unreported.flatMap((weight) => (isOp(weight, "weight") ? [weight.attrs.path] : []));
        if (first === undefined) continue;
        for (const weight of unreported) reported.add(weight);
        reportAt(input, "dead-router", {
          weight: first,
          others: others.length,
          choice: kind === "entries" ? null : value.op,
          library: isLibrary(input.span.file),
        });
      }
    else if (value.op === "weight" && !trained.has(value)) dead.set(value, new Set([value]));
    else if (!measures) {
      const known = value.inputs.flatMap((input) => dead.get(input) ?? []);
      if (known.length > 0) dead.set(value, union(known, reported));
    }
  }
}

/** The union of the sets, without weights already reported. */
function union(sets: readonly ReadonlySet<Value>[], reported: ReadonlySet<Value>): ReadonlySet<Value> {
  const [only] = sets;
  if (sets.length === 1 && only) return only;
  return new Set(sets.flatMap((set) => [...set].filter((weight) => !reported.has(weight))));
}

/** The inputs that receive a gradient from the value: only floats, and no inputs if the value is constant. */
function gradientInputs(value: Value): readonly Value[] {
  if (stopsGradient(value) || !isFloat(value.type.dtype) || isOne(value)) return [];
  const inputs = isOp(value, "straight") ? value.inputs.slice(1) : value.inputs;
  return inputs.filter((v) => isFloat(v.type.dtype));
}

/** Whether a value is 1 regardless of its inputs: a number divided by itself, or a softmax over one element. */
function isOne(value: Value): boolean {
  const [first, second] = value.inputs;
  if (isOp(value, "softmax")) return first?.type.shape[value.attrs.axis] === 1;
  return (
    isOp(value, "pointwise") && value.attrs.fn === "div" && !!first && !!second && number(first) === number(second)
  );
}

/** A smaller constant added to a divisor only prevents a division by 0. */
const TINY = 1e-6;

/** Strips sums over one element, reshapes and tiny additions, and returns the value inside. */
function number(value: Value): Value {
  for (let at = value; ;) {
    const [first, second] = at.inputs;
    if (!first) return at;
    if (isOp(at, "reshape") || (isOp(at, "reduce") && ofOne(at.attrs.axes, first.type.shape))) at = first;
    else if (isOp(at, "slice") && first.type.shape[at.attrs.axis] === 1) at = first;
    else if (isOp(at, "pointwise") && at.attrs.fn === "add" && second && isTiny(second)) at = first;
    else return at;
  }
}

const ofOne = (axes: readonly number[], shape: readonly Size[]): boolean => axes.every((axis) => shape[axis] === 1);
const isTiny = (value: Value): boolean => isOp(value, "number") && Math.abs(value.attrs.value) <= TINY;
