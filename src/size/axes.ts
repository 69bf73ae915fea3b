// Axes: what the symbols in sizes stand for, and their values in one run.
import type { Rational } from "./rational.js";
import { axisSize, evaluateSize, rowsSize, type Size } from "./size.js";
import { toNumber } from "./rational.js";

/**
 * An axis is an extent known only when the program runs.
 * - `batch`: the first axis of the inputs, the number of sequences
 * - `sequence`: tokens of each sequence, of a length of its own; its rows are packed, all sequences one after the other
 * - `free`: any other axis of an input
 */
export type Axis =
  | { readonly role: "batch" | "free"; readonly name: string; readonly bound: number | null }
  | { readonly role: "sequence"; readonly name: string; readonly bound: number | null; readonly count: CountRule };

export type SequenceAxis = Extract<Axis, { role: "sequence" }>;

/** How many tokens each sequence has on a sequence axis. Inside `k`, `start` and `stop`, an axis atom means that sequence's own count. */
export type CountRule =
  /** An axis of the model's inputs: `lengths`, or the input's extent. */
  | { readonly kind: "input" }
  /** The k best of `parent`: min(max(k, 0), count of parent). */
  | { readonly kind: "top"; readonly parent: string; readonly k: Size }
  /** Those of `parent` above a threshold: known only on the device; `expected` is the share assumed for costs. */
  | { readonly kind: "above"; readonly parent: string; readonly expected: Rational }
  /** The tokens start … stop − 1 of `parent`, as Python slices: negative from the end, clamped; null is the end itself. */
  | { readonly kind: "span"; readonly parent: string; readonly start: Size; readonly stop: Size | null }
  /** The tokens of each part, one part after the other. */
  | { readonly kind: "join"; readonly parts: readonly string[] };

/** Values of the input axes for one run. */
export interface RunSizes {
  /** Extent of each batch, free and input sequence axis. */
  readonly extents: ReadonlyMap<string, number>;
  /** Length of each sequence on the first input sequence axis; null: all full. */
  readonly lengths: ReadonlyMap<string, Uint32Array>;
  readonly live: ReadonlyMap<string, Rational>;
}

/**
 * What to assume where only the device knows a count:
 * `bound`: all of the parent's tokens; `expected`: the stated share; `dense`: every routed axis keeps all tokens (nothing skipped).
 */
export type CountMode = "bound" | "expected" | "dense";

/** The counts of each sequence, their sum and their largest. */
export interface Counts {
  readonly counts: Uint32Array;
  readonly rows: number;
  readonly longest: number;
  /** False where `above` stands between this axis and the inputs: the counts are upper bounds, or estimates. */
  readonly exact: boolean;
}

export interface Sizes {
  readonly batch: number;
  /** Counts of a sequence axis; throws for a name that is none. */
  sequence(axis: string): Counts;
  /** Exact value of a size; axis atoms are the longest sequence. */
  rational(size: Size): Rational;
  /** The same as a number. */
  number(size: Size): number;
}

/** Whether the counts of this axis are known before the program runs. */
export function knownOnHost(axes: readonly Axis[], name: string): boolean {
  const axis = axes.find((a) => a.name === name);
  if (axis?.role !== "sequence") return true;
  switch (axis.count.kind) {
    case "input": return true;
    case "above": return false;
    case "join": return axis.count.parts.every((p) => knownOnHost(axes, p));
    case "top": return [axis.count.parent, ...namesIn(axis.count.k)].every((p) => knownOnHost(axes, p));
    case "span": return knownOnHost(axes, axis.count.parent);
    default: return axis.count satisfies never;
  }
}

const namesIn = (size: Size): string[] => {
  const names: string[] = [];
  if (typeof size !== "number") evaluateSize(size, (a) => { if (a.kind === "axis") names.push(a.axis); return 1; });
  return names;
};

/** The axis whose counts decide k: the one sequence axis that `k` mentions, or the parent where it mentions none. The checker refuses two. */
export function countingAxis(axes: readonly Axis[], rule: Extract<CountRule, { kind: "top" }>): string {
  const sequences = namesIn(rule.k).filter((n) => axes.some((a) => a.name === n && a.role === "sequence"));
  return sequences[0] ?? rule.parent;
}

/** Resolves every axis for one run. Axes stand after those they are made from. Results are computed when asked for, once. `known` holds counts learned by running. */
export function resolveSizes(axes: readonly Axis[], run: RunSizes, mode: CountMode = "bound", known: ReadonlyMap<string, Uint32Array> = new Map()): Sizes {
  const byName = new Map(axes.map((a) => [a.name, a]));
  const batchAxis = axes.find((a) => a.role === "batch");
  const batch = batchAxis ? extent(batchAxis.name) : 1;
  const sequences = new Map<string, Counts>();
  const values = new Map<string, Rational>();

  function extent(name: string): number {
    const e = run.extents.get(name);
    if (e === undefined) throw new Error(`modc bug: no extent for axis ${name}`);
    return e;
  }
  function sequence(name: string): Counts {
    const done = sequences.get(name);
    if (done) return done;
    const axis = byName.get(name);
    if (axis?.role !== "sequence") throw new Error(`modc bug: ${name} is not a sequence axis`);
    const learned = known.get(name);
    const made = learned ? summed(learned, true) : resolve(axis);
    sequences.set(name, made);
    return made;
  }
  function resolve(axis: SequenceAxis): Counts {
    const rule = axis.count;
    switch (rule.kind) {
      case "input": {
        const lengths = run.lengths.get(axis.name);
        const full = extent(axis.name);
        const counts = lengths ?? new Uint32Array(batch).fill(full);
        // The extent of an input stands whatever its lengths are.
        return { ...summed(counts, true), longest: full };
      }
      case "top": {
        const parent = sequence(rule.parent);
        if (mode === "dense") return parent;
        const by = sequence(countingAxis(axes, rule));
        const counts = parent.counts.map((n, b) => Math.min(kOf(rule, by.counts[b]!), n));
        const made = summed(counts, parent.exact && by.exact);
        return made.exact ? made : { ...made, ...boundOfTop(rule, parent, by) };
      }
      case "above": {
        const parent = sequence(rule.parent);
        const share = mode === "expected" ? rule.expected : null;
        const counts = share === null ? parent.counts : parent.counts.map((n) => Math.min(n, Math.ceil((n * Number(share.num)) / Number(share.den))));
        return summed(counts, false);
      }
      case "span": {
        const parent = sequence(rule.parent);
        return summed(parent.counts.map((n) => { const [a, b] = spanOf(rule, n); return b - a; }), parent.exact);
      }
      case "join": {
        const parts = rule.parts.map(sequence);
        const counts = new Uint32Array(batch).map((_, b) => parts.reduce((s, p) => s + p.counts[b]!, 0));
        return summed(counts, parts.every((p) => p.exact));
      }
      default: return rule satisfies never;
    }
  }
  /** Where the counts are only bounds, k need not grow with them: the largest k of any count up to the bound. */
  function boundOfTop(rule: Extract<CountRule, { kind: "top" }>, parent: Counts, by: Counts): Pick<Counts, "counts" | "rows" | "longest"> {
    const best = new Uint32Array(by.longest + 1);
    for (let n = 0; n <= by.longest; n++) best[n] = Math.max(n > 0 ? best[n - 1]! : 0, kOf(rule, n));
    return summed(parent.counts.map((n, b) => Math.min(n, best[by.counts[b]!]!)), false);
  }
  function kOf(rule: Extract<CountRule, { kind: "top" }>, count: number): number {
    const by = countingAxis(axes, rule);
    const k = toNumber(evaluateSize(rule.k, (a) => (a.kind === "axis" && a.axis === by ? count : atom(a))));
    return Math.max(0, Math.min(0xffffffff, k));
  }
  function atom(a: Parameters<Parameters<typeof evaluateSize>[1]>[0]): number | Rational {
    if (a.kind === "live") {
      const v = run.live.get(a.name);
      if (v === undefined) throw new Error(`modc bug: no value for live ${a.name}`);
      return v;
    }
    if (a.kind === "rows") return sequence(a.axis).rows;
    return byName.get(a.axis)?.role === "sequence" ? sequence(a.axis).longest : extent(a.axis);
  }
  function valueOf(size: Size): Rational {
    if (typeof size === "number") return evaluateSize(size, atom);
    let v = values.get(size.key);
    if (!v) values.set(size.key, (v = evaluateSize(size, atom)));
    return v;
  }
  return { batch, sequence, rational: valueOf, number: (size) => (typeof size === "number" ? size : toNumber(valueOf(size))) };
}

const summed = (counts: Uint32Array, exact: boolean): Counts => {
  let rows = 0;
  let longest = 0;
  for (const n of counts) {
    rows += n;
    if (n > longest) longest = n;
  }
  return { counts, rows, longest, exact };
};

/** First token and the one after the last of a span on a sequence of n tokens. */
export function spanOf(rule: Extract<CountRule, { kind: "span" }>, n: number): readonly [number, number] {
  const at = (s: Size): number => {
    const v = toNumber(evaluateSize(s, () => n));
    return Math.max(0, Math.min(n, v < 0 ? v + n : v));
  };
  const a = at(rule.start);
  return [a, Math.max(a, rule.stop === null ? n : at(rule.stop))];
}

/** `starts[b]`: the first packed row of sequence b; the last entry is the number of rows. */
export function startsOf(counts: Uint32Array): Uint32Array {
  const starts = new Uint32Array(counts.length + 1);
  for (let b = 0; b < counts.length; b++) starts[b + 1] = starts[b]! + counts[b]!;
  return starts;
}

/** `table[n]` = k for a sequence of n tokens, n = 0 … longest: how `top` learns its k on the device, exactly. */
export function kTable(axes: readonly Axis[], rule: Extract<CountRule, { kind: "top" }>, run: RunSizes, sizes: Sizes): Uint32Array {
  const by = countingAxis(axes, rule);
  return new Uint32Array(sizes.sequence(by).longest + 1).map((_, n) => {
    const k = toNumber(evaluateSize(rule.k, (a) => {
      if (a.kind === "axis" && a.axis === by) return n;
      if (a.kind === "live") return run.live.get(a.name)!;
      return sizes.rational(a.kind === "axis" ? axisSize(a.axis) : rowsSize(a.axis));
    }));
    return Math.max(0, Math.min(0xffffffff, k));
  });
}
