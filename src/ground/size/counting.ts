// Evaluates count rules: computes the tokens of each sequence on an axis, by the kind of the axis's rule.
import { Counts, MAX_EXTENT } from "./counts.js";
import type { Rule, RuleKind } from "./count-rules.js";
import { ONE, toNumber, type Rational } from "../numerics/rational.js";
import { evaluateSize, type Size } from "./size.js";
import { maxOverRange, sizeFunction, type OpenAtom } from "./size-function.js";

/**
 * The assumption for counts that only the device knows. `bound`: all tokens of the parent. `expected`: the declared
 * share of them. `dense`: every routed axis has all tokens of its parent (nothing is skipped), except for a choice of
 * entries.
 */
export type CountMode = "bound" | "expected" | "dense";

/** The values that rules need from a run. */
export interface Counting {
  readonly mode: CountMode;
  readonly batch: number;
  readonly input: (axis: string) => Counts;
  /** Counts of an axis from which the rule derives. */
  readonly sequence: (axis: string) => Counts;
  /** The axis whose counts determine k. */
  readonly countingAxis: (rule: Rule<"top">) => string;
  readonly atom: (atom: OpenAtom) => number | Rational;
}

/** The evaluation of each kind of rule. */
const COUNTS: { readonly [K in RuleKind]: (rule: Rule<K>, run: Counting, axis: string) => Counts } = {
  input: (_, run, axis) => run.input(axis),
  top(rule, run) {
    const parent = run.sequence(rule.parent);
    if (run.mode === "dense") return parent;
    const counting = run.countingAxis(rule);
    const countedBy = run.sequence(counting);
    const exact = parent.exact && countedBy.exact;
    const k = exact
      ? kFunction(rule.k, counting, countedBy.longest, run.atom)
      : largestK(rule.k, counting, countedBy, run.atom);
    return Counts.derived(run.batch, [parent, countedBy], exact, (n, m) => Math.min(k(m), n));
  },
  above: shareOf,
  entry: (rule, run) => shareOf(rule, run.mode === "dense" ? { ...run, mode: "expected" } : run),
  those: shareOf,
  rest({ parent, taken }, { batch, mode, sequence }) {
    const parentCount = sequence(parent);
    if (mode === "dense") return parentCount;
    return Counts.derived(batch, [parentCount, sequence(taken)], parentCount.exact, (n, gone) => Math.max(0, n - gone));
  },
  span(rule, { batch, sequence }) {
    const parent = sequence(rule.parent);
    const span = spanFunction(rule, parent.longest);
    return Counts.derived(batch, [parent], parent.exact, (n) => {
      const [a, b] = span(n);
      return b - a;
    });
  },
  stride({ parent, step }, { batch, sequence }) {
    const counts = sequence(parent);
    return Counts.derived(batch, [counts], counts.exact, (n) => Math.ceil(n / numberOf(step)));
  },
  fixed: ({ tokens }, { batch }) => Counts.equal(batch, numberOf(tokens), true),
  join(rule, { batch, sequence }) {
    const parts = rule.parts.map(sequence);
    const exact = parts.every((p) => p.exact);
    return Counts.derived(batch, parts, exact, (...counts) => counts.reduce((sum, n) => sum + n, 0));
  },
};

/** A size that is a number in every rule of its kind. */
const numberOf = (size: Size): number => (typeof size === "number" ? size : toNumber(evaluateSize(size, () => ONE)));

/** The tokens that a threshold or a mask chooses: their declared share, at most the tokens of each axis of `within`. */
function shareOf(
  { parent, within = [], expected }: Omit<Rule<"above">, "kind"> & Partial<Pick<Rule<"those">, "within">>,
  { batch, mode, sequence }: Counting,
): Counts {
  const { num, den } = mode === "expected" ? expected : ONE;
  return Counts.derived(batch, [parent, ...within].map(sequence), false, (n, ...most) =>
    Math.min(n, Math.ceil((n * Number(num)) / Number(den)), ...most),
  );
}

/** Evaluates the rule of an axis in a run. */
export const countsOf = <K extends RuleKind>(rule: Rule<K>, run: Counting, axis: string): Counts =>
  COUNTS[rule.kind](rule, run, axis);

type Most = (axis: string) => number | null;

/** As many tokens as the parent has, at most as many as each axis of `within`. */
const ofParents = (
  { parent, within = [] }: { readonly parent: string; readonly within?: readonly string[] },
  of: Most,
): number | null => [parent, ...within].map(of).reduce(least);

/**
 * The maximum length of a sequence for each kind of rule, from the maximum lengths `of` the rule's axes. Null: unknown.
 */
const MOST: { readonly [K in RuleKind]: (rule: Rule<K>, of: Most) => number | null } = {
  input: () => null,
  top: ({ parent, k }, of) => least(of(parent), typeof k === "number" ? k : null),
  above: ofParents,
  entry: ofParents,
  those: ofParents,
  rest: ofParents,
  span: ofParents,
  stride({ parent, step }, of) {
    const most = of(parent);
    return most === null ? null : Math.ceil(most / numberOf(step));
  },
  fixed: ({ tokens }) => numberOf(tokens),
  join: ({ parts }, of) => parts.map(of).reduce((sum, n) => (sum === null || n === null ? null : sum + n), 0),
};

/** The maximum length of a sequence on an axis with this rule and, possibly, a declared bound. */
export const mostOf = <K extends RuleKind>(rule: Rule<K>, bound: number | null, of: Most): number | null =>
  least(bound, MOST[rule.kind](rule, of));

const least = (a: number | null, b: number | null): number | null => (a === null ? b : b === null ? a : Math.min(a, b));

/**
 * k as a u32 as a function of n, the tokens of a sequence on the axis `by` (n = 0 … most); `value` evaluates the other
 * atoms.
 */
export function kFunction(
  k: Size,
  by: string,
  most: number,
  value: (atom: OpenAtom) => number | Rational,
): (n: number) => number {
  const count = sizeFunction(k, by, most, value);
  return (n) => Math.floor(limited(count(n)));
}

/** k, clamped to the extents that the runtime can hold. */
const limited = (k: number): number => Math.max(0, Math.min(MAX_EXTENT, k));

/** For counts that are upper bounds: n ↦ the largest k over all counts up to n, since k need not be monotonic in n. */
function largestK(k: Size, axis: string, by: Counts, atom: Counting["atom"]): (n: number) => number {
  if (typeof k === "number") return () => limited(k);
  const found = new Map<number, number>();
  let from = 0;
  let most = 0n;
  for (const n of by.distinct) {
    most = maxOverRange(k, axis, from, n, atom, most);
    found.set(n, limited(Number(most)));
    from = n;
  }
  return (n) => found.get(n)!;
}

/** First (inclusive) and last (exclusive) token of a span, as a function of the sequence length n = 0 … most. */
export function spanFunction({ start, stop }: Rule<"span">, most: number): (n: number) => readonly [number, number] {
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

/** `spanFunction` for one sequence of n tokens. */
export const spanOf = (rule: Rule<"span">, n: number): readonly [number, number] => spanFunction(rule, n)(n);
