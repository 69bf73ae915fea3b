// Memory: which values share a slot. Two values that live at once never do.
import { invariant } from "../diagnostics/invariant.js";
import { resolveSizes, type Axis, type Sizes } from "../size/axes.js";
import { compare, type Rational } from "../size/rational.js";
import { applySize, printSize, type Size, type SizeExpr } from "../size/size.js";
import { EqualAxes } from "./equal-axes.js";
import type { PlanSlot, Step } from "./plan.js";

/** Memory of one value, or of several that take it over from one another. */
export interface Storage {
  readonly bytes: Size;
  readonly label: string;
  /** Has a slot of its own: what the caller or the runtime fills or reads, and what outlives the run. */
  fixed: boolean;
}

export const storage = (bytes: Size, label: string, fixed: boolean): Storage => ({ bytes, label, fixed });

interface Life {
  readonly storage: Storage;
  readonly first: number;
  last: number;
}

interface OpenSlot {
  readonly index: number;
  /** Bytes at the nominal sizes. */
  capacity: number;
  readonly sizes: Map<string, Size>;
  readonly label: string;
}

/** What steps touch, in the order of the first touch. */
function livesOf(steps: readonly Step<Storage>[]): readonly Life[] {
  const lives = new Map<Storage, Life>();
  steps.forEach((step, i) => {
    for (const s of touched(step)) {
      const life = lives.get(s);
      if (life) life.last = i;
      else lives.set(s, { storage: s, first: i, last: i });
    }
  });
  return [...lives.values()];
}

export function touched<B>(step: Step<B>): readonly B[] {
  switch (step.kind) {
    case "dispatch":
      return step.buffers;
    case "copy":
      return [step.from, step.to];
    case "clear":
      return [step.to];
    default:
      return step satisfies never;
  }
}

/**
 * Gives every storage a slot: the fixed ones their own (in the order given, whether a step touches them or not), the others the
 * tightest one that is free at its first step, grown where none is large enough. Fit is judged at nominal sizes, but a slot's
 * size is the largest of all that live in it, so it is right at every size.
 */
export function assignSlots(
  steps: readonly Step<Storage>[],
  fixed: readonly Storage[],
  axes: readonly Axis[],
  live: ReadonlyMap<string, Rational>,
): { readonly slots: readonly PlanSlot[]; readonly slotOf: (storage: Storage) => number } {
  const nominal = nominalSizes(axes, live);
  // Equal rules have equal bounds, so layers share slots though each has axes of its own.
  const equal = new EqualAxes(axes, () => true);
  const slots: OpenSlot[] = [];
  const chosen = new Map<Storage, OpenSlot>();
  const open = (s: Storage): OpenSlot => {
    const slot: OpenSlot = { index: slots.length, capacity: 0, sizes: new Map(), label: s.fixed ? s.label : "activations" };
    slots.push(slot);
    return slot;
  };
  const settle = (s: Storage, slot: OpenSlot): void => {
    const size = equal.size(s.bytes);
    slot.sizes.set(printSize(size), size);
    slot.capacity = Math.max(slot.capacity, nominal(size));
    chosen.set(s, slot);
  };
  for (const s of fixed) if (!chosen.has(s)) settle(s, open(s));

  const lives = livesOf(steps).filter((l) => !chosen.has(l.storage));
  const ending = new Map<number, Storage[]>();
  for (const l of lives) ending.set(l.last, [...(ending.get(l.last) ?? []), l.storage]);
  const free: OpenSlot[] = [];
  let step = 0;
  for (const l of lives) {
    // A value that ends in the step where another begins is still read there.
    for (; step < l.first; step++) for (const s of ending.get(step) ?? []) release(free, chosen.get(s)!);
    settle(l.storage, takeTightest(free, nominal(equal.size(l.storage.bytes))) ?? open(l.storage));
  }
  return {
    slots: slots.map(({ sizes, label }) => ({ bytes: largest([...sizes.values()]), label })),
    slotOf: (s) => {
      const slot = chosen.get(s);
      invariant(slot, `a value (${s.label}) has no slot`);
      return slot.index;
    },
  };
}

/** `free` stays in order of capacity. */
function release(free: OpenSlot[], slot: OpenSlot): void {
  free.splice(lowerBound(free, slot.capacity), 0, slot);
}

/** The smallest that holds so many bytes, unless it is far too large; else the largest of the others, to be grown. */
function takeTightest(free: OpenSlot[], bytes: number): OpenSlot | null {
  const at = lowerBound(free, bytes);
  if (at < free.length && free[at]!.capacity <= 8 * bytes + 4096) return free.splice(at, 1)[0]!;
  return at > 0 ? free.splice(at - 1, 1)[0]! : null;
}

function lowerBound(free: readonly OpenSlot[], bytes: number): number {
  let low = 0;
  let high = free.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (free[middle]!.capacity < bytes) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Bytes at sizes as they may come: four sequences of 512 tokens, or of the bound. */
function nominalSizes(axes: readonly Axis[], live: ReadonlyMap<string, Rational>): (size: Size) => number {
  const extents = new Map<string, number>();
  for (const axis of axes) {
    const usual = axis.role === "batch" ? 4 : axis.role === "sequence" ? 512 : 64;
    if (axis.role !== "sequence" || axis.count.kind === "input") extents.set(axis.name, Math.min(axis.bound ?? usual, usual));
  }
  const sizes: Sizes = resolveSizes(axes, { extents, lengths: new Map(), live });
  return (size) => sizes.number(size);
}

/** The largest of some sizes: of those that differ by a factor only the greatest is kept. */
function largest(sizes: readonly Size[]): Size {
  const byAtoms = new Map<string, SizeExpr>();
  const others: Size[] = [];
  let constant = 0;
  for (const size of sizes) {
    if (typeof size === "number") constant = Math.max(constant, size);
    else if (size.terms.length !== 1) others.push(size);
    else {
      const [term] = size.terms;
      const key = term!.atoms.map((a) => a.key).join("*");
      const known = byAtoms.get(key);
      if (!known || compare(term!.coefficient, known.terms[0]!.coefficient) > 0) byAtoms.set(key, size);
    }
  }
  const kept: Size[] = [...byAtoms.values(), ...others];
  if (constant > 0 || kept.length === 0) kept.push(constant);
  return kept.length === 1 ? kept[0]! : applySize("max", kept);
}
