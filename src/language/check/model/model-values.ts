// Walks the values of a finished model, for checks that need the whole model.
import type { Code, DataOf } from "../../diagnostics/catalogue.js";
import type { Note } from "../../diagnostics/diagnostic.js";
import { invariant } from "../../../ground/base/invariant.js";
import type { Span } from "../../diagnostics/span.js";
import type { Model, Value } from "./model.js";
import type { AxisLookup } from "./types.js";

/** Reports at a value of the finished model: at its span or an explicit one, with the calls that led to the value. */
export type ReportAt = <C extends Code>(
  value: Value,
  code: C,
  data: DataOf<C>,
  span?: Span,
  notes?: readonly Note[],
) => void;

/** The values that the program returns: results, losses, observed values and updates. */
export const rootsOf = (model: Model): readonly Value[] => [
  ...model.outputs.map((o) => o.value),
  ...model.losses.map((l) => l.value),
  ...model.observes.map((o) => o.value),
  ...model.updates.map((u) => u.value),
];

/**
 * Every value on which the roots depend, by ascending id: inputs before their readers. `into` selects the inputs to
 * follow; default: all.
 */
export function reachable(
  roots: readonly Value[],
  into: (value: Value) => readonly Value[] = (v) => v.inputs,
): readonly Value[] {
  const seen = new Set<Value>(roots);
  const pending = [...seen];
  for (let v = pending.pop(); v; v = pending.pop())
    for (const input of into(v)) {
      if (seen.has(input)) continue;
      seen.add(input);
      pending.push(input);
    }
  return [...seen].sort((a, b) => a.id - b.id);
}

/** Looks up the axes of a model by name. */
export function axesOfModel(model: Model): AxisLookup {
  const axes = new Map(model.axes.map((a) => [a.name, a]));
  return {
    axis(name) {
      const axis = axes.get(name);
      invariant(axis, `no axis ${name}`);
      return axis;
    },
  };
}
