// Finds the reductions over the batch that move states, and the values computed from these reductions after the step.
import type { Model, Value } from "../../language/check/model/model.js";
import { instanceOf } from "./outline.js";
import { refuse } from "./refused.js";
import { is } from "./text.js";

/** A reduction over the batch that moves a state. */
export interface Tally {
  readonly name: string;
  readonly value: Value<"reduce">;
}

/** The buffers for a tally: the sum, and for a mean also the count. */
export const buffersOf = ({ name, value }: Tally): readonly string[] =>
  value.attrs.fn === "mean" ? [name, `${name}_count`] : [name];

/** The computation that moves one block's states. */
export interface Updates {
  readonly tallies: readonly Tally[];
  /** Values computed from the tallies, in order. */
  readonly behind: readonly Value[];
  readonly states: readonly { readonly name: string; readonly value: Value }[];
}

const isOverBatch = (value: Value): value is Value<"reduce"> =>
  is(value, "reduce") && value.attrs.axes.includes(0) && typeof value.inputs[0]!.type.shape[0] !== "number";

/** Updates by block path. `nameOf` returns the source's name for a value. */
export function updatesOf(model: Model, nameOf: (value: Value) => string | null): ReadonlyMap<string, Updates> {
  const taken = new Set([...model.weights, ...model.instances].map(({ path }) => path));
  const found = new Map<string, { tallies: Tally[]; behind: Set<Value>; states: { name: string; value: Value }[] }>();
  for (const { path, value } of model.updates) {
    const owner = path.slice(0, Math.max(0, path.lastIndexOf(".")));
    const within = owner === "" ? "" : `${owner}.`;
    const ofOwner = found.get(owner) ?? { tallies: [], behind: new Set(), states: [] };
    found.set(owner, ofOwner);
    ofOwner.states.push({ name: path.slice(within.length), value });
    for (const next of sources(value)) {
      if (!isOverBatch(next)) {
        ofOwner.behind.add(next);
        continue;
      }
      if (instanceOf(next.path) !== owner) refuse("an update of a state by what another block counts", path);
      if (next.attrs.fn !== "sum" && next.attrs.fn !== "mean")
        refuse(`an update by the ${next.attrs.fn} over a batch`, path);
      if (ofOwner.tallies.some((tally) => tally.value === next)) continue;
      let name = nameOf(next) ?? "counted";
      while (taken.has(within + name)) name += "_";
      taken.add(within + name).add(`${within}${name}_count`);
      ofOwner.tallies.push({ name, value: next });
    }
  }
  return new Map(
    [...found].map(([owner, { behind, ...own }]) => [
      owner,
      { ...own, behind: [...behind].sort((a, b) => a.id - b.id) },
    ]),
  );
}

/** A value and everything it depends on, down to reductions over the batch. Numbers and states are left out. */
function sources(value: Value): readonly Value[] {
  const seen = new Set<Value>();
  const todo = [value];
  for (let next = todo.pop(); next; next = todo.pop()) {
    if (seen.has(next) || next.op === "number" || next.op === "state" || next.op === "live") continue;
    if (next.op === "weight" || next.op === "input") refuse(`an update of a state by a ${next.op}`, next);
    seen.add(next);
    if (!isOverBatch(next)) todo.push(...next.inputs);
  }
  return [...seen];
}
