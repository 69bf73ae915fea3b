// Axes: what the symbols in sizes stand for, and their values in one run.
import type { Rational } from "./rational.js";
import { atomsOf, axisSize, evaluateSize, printSize, rowsSize, type Size } from "./size.js";
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

/** What is known of a list of axes, which may grow at its end: graphs have an axis for each route, so nothing is looked for twice. */
class AxisTable {
  static readonly #tables = new WeakMap<readonly Axis[], AxisTable>();
  readonly byName = new Map<string, Axis>();
  /** Those whose counts only the device knows. */
  readonly onDevice = new Set<string>();
  #read = 0;

  static of(axes: readonly Axis[]): AxisTable {
    let table = AxisTable.#tables.get(axes);
    if (!table) AxisTable.#tables.set(axes, (table = new AxisTable()));
    for (; table.#read < axes.length; table.#read++) table.#add(axes[table.#read]!);
    return table;
  }

  #add(axis: Axis): void {
    this.byName.set(axis.name, axis);
    if (axis.role === "sequence" && this.#madeOnDevice(axis.count)) this.onDevice.add(axis.name);
  }

  #madeOnDevice(rule: CountRule): boolean {
    switch (rule.kind) {
      case "input":
        return false;
      case "above":
        return true;
      case "join":
        return rule.parts.some((p) => this.onDevice.has(p));
      case "top":
        return this.onDevice.has(rule.parent) || axesIn(rule.k).some((n) => this.onDevice.has(n));
      case "span":
        return this.onDevice.has(rule.parent);
      default:
        return rule satisfies never;
    }
  }
}

const axesIn = (size: Size): string[] => [...atomsOf(size)].flatMap((a) => (a.kind === "axis" ? [a.axis] : []));

/** Whether the counts of this axis are known before the program runs. Axes stand after those they are made from. */
export const knownOnHost = (axes: readonly Axis[], name: string): boolean => !AxisTable.of(axes).onDevice.has(name);

/** The axis whose counts decide k: the one sequence axis that `k` mentions, or the parent where it mentions none. The checker refuses two. */
export function countingAxis(axes: readonly Axis[], rule: Extract<CountRule, { kind: "top" }>): string {
  const { byName } = AxisTable.of(axes);
  return axesIn(rule.k).find((n) => byName.get(n)?.role === "sequence") ?? rule.parent;
}

type OpenAtom = Parameters<Parameters<typeof evaluateSize>[1]>[0];

/** k for a sequence that has n tokens on the axis `by`, as a u32; `value` gives the other atoms. */
function kAt(k: Size, by: string, n: number, value: (atom: OpenAtom) => number | Rational): number {
  const whole = typeof k === "number" ? k : toNumber(evaluateSize(k, (a) => (a.kind === "axis" && a.axis === by ? n : value(a))));
  return Math.max(0, Math.min(0xffffffff, whole));
}

/** Resolves every axis for one run. Axes stand after those they are made from. Results are computed when asked for, once. `known` holds counts learned by running. */
export function resolveSizes(axes: readonly Axis[], run: RunSizes, mode: CountMode = "bound", known: ReadonlyMap<string, Uint32Array> = new Map()): Sizes {
  const { byName } = AxisTable.of(axes);
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
        const counting = countingAxis(axes, rule);
        const by = sequence(counting);
        const counts = parent.counts.map((n, b) => Math.min(kAt(rule.k, counting, by.counts[b]!, atom), n));
        const made = summed(counts, parent.exact && by.exact);
        return made.exact ? made : { ...made, ...boundOfTop(rule.k, counting, parent, by) };
      }
      case "above": {
        const parent = sequence(rule.parent);
        const share = mode === "expected" ? rule.expected : null;
        const counts = share === null ? parent.counts : parent.counts.map((n) => Math.min(n, Math.ceil((n * Number(share.num)) / Number(share.den))));
        return summed(counts, false);
      }
      case "span": {
        const parent = sequence(rule.parent);
        return summed(
          parent.counts.map((n) => {
            const [a, b] = spanOf(rule, n);
            return b - a;
          }),
          parent.exact,
        );
      }
      case "join": {
        const parts = rule.parts.map(sequence);
        const counts = new Uint32Array(batch).map((_, b) => parts.reduce((s, p) => s + p.counts[b]!, 0));
        return summed(
          counts,
          parts.every((p) => p.exact),
        );
      }
      default:
        return rule satisfies never;
    }
  }
  /** Where the counts are only bounds, k need not grow with them: the largest k of any count up to the bound. */
  function boundOfTop(k: Size, axis: string, parent: Counts, by: Counts): Pick<Counts, "counts" | "rows" | "longest"> {
    const best = new Uint32Array(by.longest + 1);
    for (let n = 0; n <= by.longest; n++) best[n] = Math.max(n > 0 ? best[n - 1]! : 0, kAt(k, axis, n, atom));
    return summed(
      parent.counts.map((n, b) => Math.min(n, best[by.counts[b]!]!)),
      false,
    );
  }
  function atom(a: OpenAtom): number | Rational {
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

/** Tables of one run by k and the axis that decides it: the layers of a model mostly share one rule. */
const kTables = new WeakMap<Sizes, Map<string, Uint32Array>>();

/** `table[n]` = k for a sequence of n tokens, n = 0 … longest: how `top` learns its k on the device, exactly. Equal rules share a table. */
export function kTable(axes: readonly Axis[], rule: Extract<CountRule, { kind: "top" }>, run: RunSizes, sizes: Sizes): Uint32Array {
  const by = countingAxis(axes, rule);
  const key = `${by} ${printSize(rule.k)}`;
  let made = kTables.get(sizes);
  if (!made) kTables.set(sizes, (made = new Map()));
  let table = made.get(key);
  if (!table) {
    const value = (a: OpenAtom): number | Rational =>
      a.kind === "live" ? run.live.get(a.name)! : sizes.rational(a.kind === "axis" ? axisSize(a.axis) : rowsSize(a.axis));
    made.set(key, (table = new Uint32Array(sizes.sequence(by).longest + 1).map((_, n) => kAt(rule.k, by, n, value))));
  }
  return table;
}
