// Axes: what the symbols in sizes stand for, and their values in one run.
import { bug } from "../base/invariant.js";
import { axesIn, countedOnDevice, mapRule, type CountRule, type Rule, type RuleMap } from "./count-rules.js";
import { countsOf, kFunction, type Counting, type CountMode } from "./counting.js";
import { Counts } from "./counts.js";
import { toNumber, type Rational } from "./rational.js";
import { axisSize, evaluateSize, printSize, rowsSize, type Size } from "./size.js";
import type { OpenAtom } from "./size-function.js";

/**
 * An axis is an extent known only when the program runs.
 * - `batch`: the first axis of the inputs, the number of sequences
 * - `sequence`: tokens of each sequence, of a length of its own; its rows are packed, all sequences one after the other
 * - `free`: any other axis of an input
 */
export type Axis<S = Size, R = Rational> =
  | { readonly role: "batch" | "free"; readonly name: string; readonly bound: number | null }
  | {
      readonly role: "sequence";
      readonly name: string;
      readonly bound: number | null;
      readonly count: CountRule<S, R>;
    };

export type SequenceAxis = Extract<Axis, { role: "sequence" }>;

/** The same axis of other sizes and ratios. */
export function mapAxis<S, R, T, Q>(axis: Axis<S, R>, to: RuleMap<S, R, T, Q>): Axis<T, Q> {
  const { name, bound } = axis;
  return axis.role === "sequence"
    ? { role: axis.role, name, bound, count: mapRule(axis.count, to) }
    : { role: axis.role, name, bound };
}

/** Values of the input axes for one run. */
export interface RunSizes {
  /** Extent of each batch, free and input sequence axis. */
  readonly extents: ReadonlyMap<string, number>;
  /** Length of each sequence on the first input sequence axis; null: all full. */
  readonly lengths: ReadonlyMap<string, Uint32Array>;
  readonly live: ReadonlyMap<string, Rational>;
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
    if (axis.role === "sequence" && countedOnDevice(axis.count, (name) => this.onDevice.has(name)))
      this.onDevice.add(axis.name);
  }
}

/** The axis of that name, found at once however many there are. */
export const axisNamed = (axes: readonly Axis[], name: string): Axis | undefined => AxisTable.of(axes).byName.get(name);

/** Whether the counts of this axis are known before the program runs. Axes stand after those they are made from. */
export const knownOnHost = (axes: readonly Axis[], name: string): boolean => !AxisTable.of(axes).onDevice.has(name);

/**
 * The axis whose counts decide k: the one sequence axis that `k` mentions, or the parent where it mentions none. The
 * checker refuses two.
 */
export function countingAxis(axes: readonly Axis[], rule: Rule<"top">): string {
  const { byName } = AxisTable.of(axes);
  return axesIn(rule.k).find((n) => byName.get(n)?.role === "sequence") ?? rule.parent;
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
  const by = (rule: Rule<"top">): string => countingAxis(axes, rule);
  const counting: Counting = { mode, batch, input, sequence, atom, countingAxis: by };

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
    const made = learned ? Counts.listed(learned, true) : countsOf(axis.count, counting, name);
    sequences.set(name, made);
    return made;
  }
  function input(name: string): Counts {
    const lengths = run.lengths.get(name);
    const full = extent(name);
    // The extent of an input stands whatever its lengths are.
    return lengths ? Counts.listed(lengths, true, full) : Counts.equal(batch, full, true);
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

/** Tables of one run by k and the axis that decides it: the layers of a model mostly share one rule. */
const kTables = new WeakMap<Sizes, Map<string, Uint32Array>>();

/**
 * `table[n]` = k for a sequence of n tokens, n = 0 … longest: how `top` learns its k on the device, exactly. Equal
 * rules share a table.
 */
export function kTable(axes: readonly Axis[], rule: Rule<"top">, run: RunSizes, sizes: Sizes): Uint32Array {
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
