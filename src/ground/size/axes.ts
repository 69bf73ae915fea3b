// Axes, the symbols in sizes, and their extents and per-sequence counts in one run.
import { bug } from "../base/invariant.js";
import { axesIn, countedOnDevice, mapRule, type CountRule, type Rule, type RuleMap } from "./count-rules.js";
import { countsOf, kFunction, type Counting, type CountMode } from "./counting.js";
import { Counts } from "./counts.js";
import { toNumber, type Rational } from "../numerics/rational.js";
import { axisSize, evaluateSize, printSize, rowsSize, type Size } from "./size.js";
import type { OpenAtom } from "./size-function.js";

/**
 * An axis is an extent known only when the program runs.
 * - `batch`: the first axis of the inputs, the number of sequences
 * - `sequence`: the tokens of each sequence, whose lengths may differ; rows of a tensor along it are packed, sequence
 *   after sequence
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

/**
 * The names of the sequence axes of a model's own inputs. If there are several, the option `lengths` names the axis of
 * each list. Axes that the compiler adds, such as axes of caches, have a dot in their names.
 */
export const sequenceAxes = (axes: readonly Axis[]): readonly string[] =>
  axes.flatMap((a) => (a.role === "sequence" && a.count.kind === "input" && !a.name.includes(".") ? [a.name] : []));

/** The axis with its sizes and ratios converted by `to`. */
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
  /** Length of each sequence by input sequence axis; on an axis without any, every sequence has the full extent. */
  readonly lengths: ReadonlyMap<string, Uint32Array>;
  readonly live: ReadonlyMap<string, Rational>;
}

export interface Sizes {
  readonly batch: number;
  /** Counts of a sequence axis; throws if the axis is not a sequence axis. */
  sequence(axis: string): Counts;
  /** Exact value of a size; a sequence axis has the length of the longest sequence. */
  rational(size: Size): Rational;
  /** `rational(size)` as a number. */
  number(size: Size): number;
}

/** Lookup tables for a list of axes that may grow at its end. Cached, since graphs have an axis for each route. */
class AxisTable {
  static readonly #tables = new WeakMap<readonly Axis[], AxisTable>();
  readonly byName = new Map<string, Axis>();
  /** Names of the axes whose counts only the device knows. */
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

/** The axis of that name, in constant time. */
export const axisNamed = (axes: readonly Axis[], name: string): Axis | undefined => AxisTable.of(axes).byName.get(name);

/**
 * Whether the counts of this axis are known before the program runs. An axis must come after the axes that it is
 * derived from.
 */
export const knownOnHost = (axes: readonly Axis[], name: string): boolean => !AxisTable.of(axes).onDevice.has(name);

/**
 * The axis whose counts determine k: the only sequence axis that `k` mentions, or the parent if `k` mentions no
 * sequence axis. The checker refuses two.
 */
export function countingAxis(axes: readonly Axis[], rule: Rule<"top">): string {
  const { byName } = AxisTable.of(axes);
  return axesIn(rule.k).find((n) => byName.get(n)?.role === "sequence") ?? rule.parent;
}

/**
 * Resolves every axis for one run. An axis must come after the axes that it is derived from. Results are computed
 * lazily and cached. `known` holds counts read back from earlier runs.
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
    const counts = learned ? Counts.listed(learned, true) : countsOf(axis.count, counting, name);
    sequences.set(name, counts);
    return counts;
  }
  function input(name: string): Counts {
    const lengths = run.lengths.get(name);
    const full = extent(name);
    // The padded extent of an input does not depend on the lengths.
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

/** Tables of one run by k and its counting axis, since most layers of a model share one rule. */
const kTables = new WeakMap<Sizes, Map<string, Uint32Array>>();

/**
 * `table[n]` = k for a sequence of n tokens, n = 0 … longest. The kernel of `top` reads k from this table, which is
 * exact. Equal rules share a table.
 */
export function kTable(axes: readonly Axis[], rule: Rule<"top">, run: RunSizes, sizes: Sizes): Uint32Array {
  const counting = countingAxis(axes, rule);
  const key = `${counting} ${printSize(rule.k)}`;
  let tables = kTables.get(sizes);
  if (!tables) kTables.set(sizes, (tables = new Map()));
  let table = tables.get(key);
  if (!table) {
    const value = (a: OpenAtom): number | Rational =>
      a.kind === "live"
        ? run.live.get(a.name)!
        : sizes.rational(a.kind === "axis" ? axisSize(a.axis) : rowsSize(a.axis));
    const { longest } = sizes.sequence(counting);
    const k = kFunction(rule.k, counting, longest, value);
    table = new Uint32Array(longest + 1);
    for (let n = 0; n <= longest; n++) table[n] = k(n);
    tables.set(key, table);
  }
  return table;
}
