// Records which value defined each sequence axis, so that a value that only measures the axis depends on it.
import type { CountRule } from "../../../ground/size/count-rules.js";
import { atomsOf, type Size } from "../../../ground/size/size.js";
import type { Emitter } from "../model/context.js";
import type { LogicalAxis, Value } from "../model/model.js";

/** Keyed by the axis object, so that entries live as long as the check. */
const definingValues = new WeakMap<LogicalAxis, Value>();
/**
 * Axes of slices and concatenations by their parts: equal slices share an axis, so that equally sliced keys and values
 * fit.
 */
const sharedAxes = new WeakMap<LogicalAxis, Map<string, string>>();

/** Records the value whose operator defined the axis: `top`, `above`, `span` or `join`. */
export function recordDefinition(emitter: Emitter, axis: string, value: Value): void {
  definingValues.set(emitter.axis(axis), value);
}

/** The values that defined the sequence axes in a size; axes of the model's inputs have none. */
export function definitionsOf(emitter: Emitter, size: Size): readonly Value[] {
  const names = new Set([...atomsOf(size)].flatMap((a) => (a.kind === "axis" ? [a.axis] : [])));
  return [...names].flatMap((name) => definingValues.get(emitter.axis(name)) ?? []);
}

/**
 * The axis of a slice, a concatenation or a fixed dimension: an existing one with the same parts, or a new one. `hint`
 * is the name that users see.
 */
export function sharedAxis(
  emitter: Emitter,
  parent: string,
  key: string,
  bound: number | null,
  count: CountRule,
  hint = parent,
): string {
  const axis = emitter.axis(parent);
  let known = sharedAxes.get(axis);
  if (!known) sharedAxes.set(axis, (known = new Map()));
  let name = known.get(key);
  if (name === undefined) known.set(key, (name = emitter.makeAxis(hint, bound, count)));
  return name;
}
