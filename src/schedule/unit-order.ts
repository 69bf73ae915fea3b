// The order of units in which the new value of a state comes once nothing reads the old one any more, so that it can take its memory.
import type { Value } from "./layout.js";
import type { Unit } from "./unit.js";

export interface OrderOptions {
  /** The states whose old values reading a value is reading. */
  readonly statesOf: (value: Value) => readonly string[];
  /** The new value of each state. */
  readonly next: ReadonlyMap<string, Value>;
  /** Values that a unit needs beside those it reads: what counts the rows it runs over. */
  readonly counts: (unit: Unit) => readonly Value[];
}

/**
 * Units as they were, but that before one that makes the new value of a state there run those that read the old one, with all they need. Where such a unit needs the new
 * value itself, which fusion can bring about, it stays behind; the new value then is copied into place when all is done.
 */
export function updatesAfterReaders(units: readonly Unit[], { statesOf, next, counts }: OrderOptions): readonly Unit[] {
  if (next.size === 0) return units;
  const makers = new Map<Value, number>();
  const readers = new Map<string, number[]>();
  units.forEach((unit, i) => {
    for (const { value } of unit.writes) makers.set(value, i);
    for (const state of new Set(unit.reads.flatMap(statesOf))) readers.set(state, [...(readers.get(state) ?? []), i]);
  });
  const before = units.map((unit) => [...unit.reads, ...counts(unit)].flatMap((value) => makers.get(value) ?? []));
  for (const [state, value] of next) {
    const maker = makers.get(value);
    if (maker !== undefined) before[maker]!.push(...(readers.get(state) ?? []).filter((i) => i !== maker));
  }
  return inOrder(units, before);
}

/** Depth first, in the order given; what would close a circle is passed over. */
function inOrder(units: readonly Unit[], before: readonly (readonly number[])[]): readonly Unit[] {
  const order: Unit[] = [];
  const entered = new Uint8Array(units.length);
  for (const root of units.keys()) {
    if (entered[root]) continue;
    entered[root] = 1;
    const stack = [{ at: root, next: 0 }];
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const needed = before[top.at]![top.next++];
      if (needed === undefined) {
        order.push(units[top.at]!);
        stack.pop();
      } else if (!entered[needed]) {
        entered[needed] = 1;
        stack.push({ at: needed, next: 0 });
      }
    }
  }
  return order;
}
