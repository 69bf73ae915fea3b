// Assigns storages to slots. Storages that are live at the same time never share one.
import { invariant } from "../../../ground/base/invariant.js";
import { resolveSizes, type Axis, type Sizes } from "../../../ground/size/axes.js";
import { compare, type Rational } from "../../../ground/numerics/rational.js";
import { applySize, printSize, type Size, type SizeExpr } from "../../../ground/size/size.js";
import { isPacked, isTexture, writesTo } from "../../../runtime/program/textures.js";
import { EqualAxes } from "../analysis/equal-axes.js";
import type { PlanSlot, Step, Storage } from "../plan/plan.js";
import type { Target } from "../../../runtime/program/target.js";

interface LiveRange {
  readonly storage: Storage;
  /** Whether rows are packed there, in a texture, which shares no slot with buffers. */
  readonly packed: boolean;
  readonly first: number;
  last: number;
}

interface OpenSlot {
  readonly index: number;
  /** Bytes at nominal sizes. */
  capacity: number;
  readonly sizes: Map<string, Size>;
  readonly lives: LiveRange[];
  readonly label: string;
  readonly packed: boolean;
}

/** The live ranges of storages, in the order of first use. */
function liveRangesOf(steps: readonly Step<Storage>[]): readonly LiveRange[] {
  const lives = new Map<Storage, LiveRange>();
  steps.forEach((step, i) => {
    touched(step).forEach((s, place) => {
      const life = lives.get(s);
      const packed = step.kind === "dispatch" && isPacked(step.kernel.buffers[place]!.access);
      if (life) life.last = i;
      else lives.set(s, { storage: s, first: i, last: i, packed });
    });
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
 * Assigns a slot to every storage. Fixed storages get their own slots, with their labels, in order, whether or not a
 * step uses them. The others, from the largest on, get the smallest free slot (best fit). Fit is judged at nominal
 * sizes, but a slot's size is the maximum over its storages, so it is correct at every size.
 */
export function assignSlots(
  steps: readonly Step<Storage>[],
  fixed: ReadonlyMap<Storage, string>,
  axes: readonly Axis[],
  live: ReadonlyMap<string, Rational>,
): { readonly slots: readonly PlanSlot[]; readonly slotOf: (storage: Storage) => number } {
  const nominal = nominalSizes(axes, live);
  // Axes with equal rules have equal bounds, so layers share slots although each has its own axes.
  const equal = new EqualAxes(axes, () => true);
  const slots: OpenSlot[] = [];
  const chosen = new Map<Storage, OpenSlot>();
  const open = (s: Storage, packed = false): OpenSlot => {
    const slot: OpenSlot = {
      index: slots.length,
      capacity: 0,
      sizes: new Map(),
      lives: [],
      label: fixed.get(s) ?? (packed ? "packed rows" : "activations"),
      packed,
    };
    slots.push(slot);
    return slot;
  };
  const assign = (s: Storage, slot: OpenSlot): void => {
    const size = equal.size(s.bytes);
    slot.sizes.set(printSize(size), size);
    slot.capacity = Math.max(slot.capacity, nominal(size));
    chosen.set(s, slot);
  };
  for (const s of fixed.keys()) assign(s, open(s));

  // The largest first: smaller storages then fit into the slots.
  const lives = liveRangesOf(steps).filter((l) => !chosen.has(l.storage));
  const sized = lives.map((life) => ({ life, bytes: nominal(equal.size(life.storage.bytes)) }));
  const shared = { packed: [] as OpenSlot[], others: [] as OpenSlot[] };
  for (const { life, bytes } of sized.toSorted((x, y) => y.bytes - x.bytes || x.life.first - y.life.first)) {
    const among = life.packed ? shared.packed : shared.others;
    let slot = bestFit(among, life, bytes);
    if (!slot) among.push((slot = open(life.storage, life.packed)));
    insertRange(slot, life);
    assign(life.storage, slot);
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

/**
 * The smallest slot (the last created) that is free during the live range, unless it is far too large; null where there
 * is none.
 */
function bestFit(slots: readonly OpenSlot[], life: LiveRange, bytes: number): OpenSlot | null {
  for (let i = slots.length - 1; i >= 0; i--) {
    const slot = slots[i]!;
    if (slot.capacity > 8 * bytes + 4096) return null; // earlier slots are even larger
    if (isFree(slot, life)) return slot;
  }
  return null;
}

/** A range that ends in the step where another begins overlaps it: the value is still read there. */
function isFree({ lives }: OpenSlot, { first, last }: LiveRange): boolean {
  const next = lowerBound(lives, first);
  return (next === 0 || lives[next - 1]!.last < first) && (next === lives.length || lives[next]!.first > last);
}

/** Inserts a live range; a slot's ranges are sorted by their start. */
function insertRange({ lives }: OpenSlot, life: LiveRange): void {
  lives.splice(lowerBound(lives, life.first), 0, life);
}

/** The index of the first range that begins at `step` or later. */
function lowerBound(lives: readonly LiveRange[], step: number): number {
  let low = 0;
  let high = lives.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (lives[middle]!.first < step) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Bytes at nominal sizes: four sequences of 512 tokens, or of the bound. */
function nominalSizes(axes: readonly Axis[], live: ReadonlyMap<string, Rational>): (size: Size) => number {
  const extents = new Map<string, number>();
  for (const axis of axes) {
    const usual = axis.role === "batch" ? 4 : axis.role === "sequence" ? 512 : 64;
    if (axis.role !== "sequence" || axis.count.kind === "input")
      extents.set(axis.name, Math.min(axis.bound ?? usual, usual));
  }
  const sizes: Sizes = resolveSizes(axes, { extents, lengths: new Map(), live });
  return (size) => sizes.number(size);
}

/** The maximum of sizes; of sizes that differ by a constant factor only the largest is listed. */
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
  const candidates: Size[] = [...byAtoms.values(), ...others];
  if (constant > 0 || candidates.length === 0) candidates.push(constant);
  return candidates.length === 1 ? candidates[0]! : applySize("max", candidates);
}

/** No slot is a texture here and a buffer there. */
export function expectOneAccess(steps: readonly Step<Storage>[]): void {
  const formats = new Map<Storage, string>();
  for (const step of steps)
    if (step.kind === "dispatch")
      step.buffers.forEach((storage, i) => {
        const { access } = step.kernel.buffers[i]!;
        const format = isPacked(access) ? "packed" : isTexture(access) ? access : "buffer";
        invariant((formats.get(storage) ?? format) === format, `${storage.label} is bound as ${format} and otherwise`);
        formats.set(storage, format);
      });
}

/** Checks that the step that packs rows is directly before the step that reads them: another may replace both. */
export function expectPackedNext(steps: readonly Step<Storage>[]): void {
  const boundAs = (step: Step<Storage> | undefined, as: "packed" | "packed_write"): Storage | undefined =>
    step?.kind === "dispatch" ? step.buffers.find((_, i) => step.kernel.buffers[i]!.access === as) : undefined;
  steps.forEach((step, i) => {
    const packedRows = boundAs(step, "packed_write");
    invariant(
      packedRows === undefined || boundAs(steps[i + 1], "packed") === packedRows,
      "rows are packed for another step",
    );
  });
}

/** A kernel binds no more buffers than the target allows, and none twice that it writes. */
export function checkBindings(step: Step<Storage>, { storageBuffersPerStage }: Target["limits"]): void {
  if (step.kind !== "dispatch") return;
  const { buffers, file } = step.kernel;
  const count = buffers.filter((b) => !isTexture(b.access)).length;
  invariant(
    count <= storageBuffersPerStage,
    `${file} needs ${count} storage buffers, the limit is ${storageBuffersPerStage}`,
  );
  const written = step.buffers.filter((_, i) => writesTo(buffers[i]!.access));
  invariant(
    written.every((s) => step.buffers.filter((o) => o === s).length === 1),
    `${file} would bind a buffer that it writes twice`,
  );
}
