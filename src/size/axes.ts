// Axes: what the symbols in sizes stand for, and their values in one run.
import { bug } from "../base/invariant.js";
import { Counts } from "./counts.js";
import { toNumber, type Rational } from "./rational.js";
import { atomsOf, axisSize, evaluateSize, printSize, rowsSize, type Size } from "./size.js";
import { largestOf, sizeFunction, type OpenAtom } from "./size-function.js";

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

/**
 * How many tokens each sequence has on a sequence axis. Inside `k`, `start` and `stop`, an axis atom means that
 * sequence's own count.
 */
export type CountRule =
  /** An axis of the model's inputs: `lengths`, or the input's extent. */
  | { readonly kind: "input" }
  /** The k best of `parent`: min(max(k, 0), count of parent). */
  | { readonly kind: "top"; readonly parent: string; readonly k: Size }
  /** Those of `parent` above a threshold: known only on the device; `expected` is the share assumed for costs. */
  | { readonly kind: "above"; readonly parent: string; readonly expected: Rational }
  /**
   * The tokens start … stop − 1 of `parent`, as Python slices: negative from the end, clamped; null is the end itself.
   */
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
 * What to assume where only the device knows a count: `bound`: all of the parent's tokens; `expected`: the stated
 * share; `dense`: every routed axis keeps all tokens (nothing skipped).
 */
export type CountMode = "bound" | "expected" | "dense";

export interface Sizes {
  readonly batch: number;
  /** Counts of a sequence axis; throws for a name that is none. */
  sequence(axis: string): Counts;
  /** Exact value of a size; axis atoms are the longest sequence. */
  rational(size: Size): Rational;
  /** The same as a number. */
  number(size: Size): number;
}

/**
 * What is known of a list of axes, which may grow at its end: graphs have an axis for each route, so nothing is looked
 * for twice.
 */
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

/**
 * The axis whose counts decide k: the one sequence axis that `k` mentions, or the parent where it mentions none. The
 * checker refuses two.
 */
export function countingAxis(axes: readonly Axis[], rule: Extract<CountRule, { kind: "top" }>): string {
  const { byName } = AxisTable.of(axes);
  return axesIn(rule.k).find((n) => byName.get(n)?.role === "sequence") ?? rule.parent;
}

/** The largest extent of an axis: kernels count in 32 bits. */
export const MOST_EXTENT = 0xffffffff;

/** k as a u32, for each n = 0 … most of a sequence's tokens on the axis `by`; `value` gives the other atoms. */
function kFunction(
  k: Size,
  by: string,
  most: number,
  value: (atom: OpenAtom) => number | Rational,
): (n: number) => number {
  const whole = sizeFunction(k, by, most, value);
  return (n) => Math.floor(Math.max(0, Math.min(MOST_EXTENT, whole(n))));
}

/**
 * Resolves every axis for one run. Axes stand after those they are made from. Results are computed when asked for,
 * once. `known` holds counts learned by running.
 */
export function resolveSizes(
  axes: readonly Axis[],
  run: RunSizes,
  mode: CountMode = "bound",
  known: ReadonlyMap<string, Uint32Array> = new Map(),
): Sizes {
  const { byName } = AxisTable.of(axes);
  const batchAxis = axes.find((a) => a.role === "batch");
  const batch = batchAxis ? extent(batchAxis.name) : 1;
  const sequences = new Map<string, Counts>();
  const values = new Map<string, Rational>();

  function extent(name: string): number {
    const e = run.extents.get(name);
    if (e === undefined) bug(`no extent for axis ${name}`);
    return e;
  }
  function sequence(name: string): Counts {
    const done = sequences.get(name);
    if (done) return done;
    const axis = byName.get(name);
    if (axis?.role !== "sequence") bug(`${name} is not a sequence axis`);
    const learned = known.get(name);
    const made = learned ? Counts.listed(learned, true) : resolve(axis);
    sequences.set(name, made);
    return made;
  }
  function resolve(axis: SequenceAxis): Counts {
    const rule = axis.count;
    switch (rule.kind) {
      case "input": {
        const lengths = run.lengths.get(axis.name);
        const full = extent(axis.name);
        // The extent of an input stands whatever its lengths are.
        return lengths ? Counts.listed(lengths, true, full) : Counts.equal(batch, full, true);
      }
      case "top": {
        const parent = sequence(rule.parent);
        if (mode === "dense") return parent;
        const counting = countingAxis(axes, rule);
        const by = sequence(counting);
        const exact = parent.exact && by.exact;
        const k = exact ? kFunction(rule.k, counting, by.longest, atom) : largestK(rule.k, counting, by);
        return Counts.made(batch, [parent, by], exact, (n, m) => Math.min(k(m), n));
      }
      case "above": {
        const parent = sequence(rule.parent);
        if (mode !== "expected") return Counts.made(batch, [parent], false, (n) => n);
        const { num, den } = { num: Number(rule.expected.num), den: Number(rule.expected.den) };
        return Counts.made(batch, [parent], false, (n) => Math.min(n, Math.ceil((n * num) / den)));
      }
      case "span": {
        const parent = sequence(rule.parent);
        const span = spanFunction(rule, parent.longest);
        return Counts.made(batch, [parent], parent.exact, (n) => {
          const [a, b] = span(n);
          return b - a;
        });
      }
      case "join": {
        const parts = rule.parts.map(sequence);
        const exact = parts.every((p) => p.exact);
        return Counts.made(batch, parts, exact, (...counts) => counts.reduce((sum, n) => sum + n, 0));
      }
      default:
        return rule satisfies never;
    }
  }
  /** Where the counts are only bounds, k need not grow with them: the largest k of any count up to each. */
  function largestK(k: Size, axis: string, by: Counts): (n: number) => number {
    if (typeof k === "number") return () => Math.max(0, Math.min(MOST_EXTENT, k));
    const found = new Map<number, number>();
    let [from, most] = [0, 0n];
    for (const n of by.distinct) {
      most = largestOf(k, axis, from, n, atom, most);
      found.set(n, Math.min(MOST_EXTENT, Number(most)));
      from = n;
    }
    return (n) => found.get(n)!;
  }
  function atom(a: OpenAtom): number | Rational {
    if (a.kind === "live") {
      const v = run.live.get(a.name);
      if (v === undefined) bug(`no value for live ${a.name}`);
      return v;
    }
    if (a.kind === "rows") return sequence(a.axis).rowsExactly;
    return byName.get(a.axis)?.role === "sequence" ? sequence(a.axis).longest : extent(a.axis);
  }
  function valueOf(size: Size): Rational {
    if (typeof size === "number") return evaluateSize(size, atom);
    let v = values.get(size.key);
    if (!v) values.set(size.key, (v = evaluateSize(size, atom)));
    return v;
  }
  return {
    batch,
    sequence,
    rational: valueOf,
    number: (size) => (typeof size === "number" ? size : toNumber(valueOf(size))),
  };
}

type SpanRule = Extract<CountRule, { kind: "span" }>;

/** First token and the one after the last of a span, on sequences of n = 0 … most tokens. */
export function spanFunction({ start, stop }: SpanRule, most: number): (n: number) => readonly [number, number] {
  const at = (size: Size): ((n: number) => number) => {
    const end = typeof size === "number" ? () => size : sizeFunction(size, null, most, () => 0);
    return (n) => {
      const v = end(n);
      return Math.max(0, Math.min(n, v < 0 ? v + n : v));
    };
  };
  const [from, to] = [at(start), stop === null ? null : at(stop)];
  return (n) => {
    const a = from(n);
    return [a, Math.max(a, to ? to(n) : n)];
  };
}

/** The same on one sequence of n tokens. */
export const spanOf = (rule: SpanRule, n: number): readonly [number, number] => spanFunction(rule, n)(n);

/** Tables of one run by k and the axis that decides it: the layers of a model mostly share one rule. */
const kTables = new WeakMap<Sizes, Map<string, Uint32Array>>();

/**
 * `table[n]` = k for a sequence of n tokens, n = 0 … longest: how `top` learns its k on the device, exactly. Equal
 * rules share a table.
 */
export function kTable(
  axes: readonly Axis[],
  rule: Extract<CountRule, { kind: "top" }>,
  run: RunSizes,
  sizes: Sizes,
): Uint32Array {
  const by = countingAxis(axes, rule);
  const key = `${by} ${printSize(rule.k)}`;
  let made = kTables.get(sizes);
  if (!made) kTables.set(sizes, (made = new Map()));
  let table = made.get(key);
  if (!table) {
    const value = (a: OpenAtom): number | Rational =>
      a.kind === "live"
        ? run.live.get(a.name)!
        : sizes.rational(a.kind === "axis" ? axisSize(a.axis) : rowsSize(a.axis));
    const { longest } = sizes.sequence(by);
    const k = kFunction(rule.k, by, longest, value);
    table = new Uint32Array(longest + 1);
    for (let n = 0; n <= longest; n++) table[n] = k(n);
    made.set(key, table);
  }
  return table;
}
