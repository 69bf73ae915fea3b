// Which value made a sequence axis, so that what only measures the axis still reaches it.
import type { Axis } from "../../size/axes.js";
import type { CountRule } from "../../size/count-rules.js";
import { atomsOf, type Size } from "../../size/size.js";
import type { Emitter } from "../context.js";
import type { Value } from "../model.js";

/** Keyed by the axis itself, so that it lives as long as the check that made it. */
const makers = new WeakMap<Axis, Value>();
/**
 * Axes made by slices and concatenations, by what they are made of: equal ones share an axis, so that keys and values
 * still meet.
 */
const cut = new WeakMap<Axis, Map<string, string>>();

/** Remembers the value whose operator made the axis: `top`, `above`, `span` or `join`. */
export function rememberMaker(emitter: Emitter, axis: string, value: Value): void {
  makers.set(emitter.axis(axis), value);
}

/** The values that made the sequence axes a size mentions; those of the model's inputs need none. */
export function makersOf(emitter: Emitter, size: Size): readonly Value[] {
  const names = new Set([...atomsOf(size)].flatMap((a) => (a.kind === "axis" ? [a.axis] : [])));
  return [...names].flatMap((name) => makers.get(emitter.axis(name)) ?? []);
}

/** The axis for a slice or a concatenation: the one made before from the same parts, or a new one. */
export function cutAxis(emitter: Emitter, parent: string, key: string, bound: number | null, count: CountRule): string {
  const axis = emitter.axis(parent);
  let known = cut.get(axis);
  if (!known) cut.set(axis, (known = new Map()));
  let name = known.get(key);
  if (name === undefined) known.set(key, (name = emitter.makeAxis(parent, bound, count)));
  return name;
}
