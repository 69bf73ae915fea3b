// What each kind of count rule counts.
import { Counts, MOST_EXTENT } from "./counts.js";
import type { Rule, RuleKind } from "./count-rules.js";
import type { Rational } from "./rational.js";
import type { Size } from "./size.js";
import { maxOverRange, sizeFunction, type OpenAtom } from "./size-function.js";

/**
 * What to assume where only the device knows a count: `bound`: all of the parent's tokens; `expected`: the stated
 * share; `dense`: every routed axis keeps all tokens (nothing skipped).
 */
export type CountMode = "bound" | "expected" | "dense";

/** A run, as a rule sees it. */
export interface Counting {
  readonly mode: CountMode;
  readonly batch: number;
  /** Counts of an axis of the inputs. */
  readonly input: (axis: string) => Counts;
  /** Counts of an axis that the rule is made from. */
  readonly sequence: (axis: string) => Counts;
  /** The axis whose counts decide k. */
  readonly countingAxis: (rule: Rule<"top">) => string;
  readonly atom: (atom: OpenAtom) => number | Rational;
}

/** The tokens of each sequence on an axis of a rule, by its kind. */
const COUNTS: { readonly [K in RuleKind]: (rule: Rule<K>, run: Counting, axis: string) => Counts } = {
  input: (_, run, axis) => run.input(axis),
  top(rule, run) {
    const parent = run.sequence(rule.parent);
    if (run.mode === "dense") return parent;
    const counting = run.countingAxis(rule);
    const by = run.sequence(counting);
    const exact = parent.exact && by.exact;
    const k = exact ? kFunction(rule.k, counting, by.longest, run.atom) : largestK(rule.k, counting, by, run.atom);
    return Counts.derived(run.batch, [parent, by], exact, (n, m) => Math.min(k(m), n));
  },
  above({ parent, expected }, { batch, mode, sequence }) {
    const [num, den] = mode === "expected" ? [Number(expected.num), Number(expected.den)] : [1, 1];
    return Counts.derived(batch, [sequence(parent)], false, (n) => Math.min(n, Math.ceil((n * num) / den)));
  },
  span(rule, { batch, sequence }) {
    const parent = sequence(rule.parent);
    const span = spanFunction(rule, parent.longest);
    return Counts.derived(batch, [parent], parent.exact, (n) => {
      const [a, b] = span(n);
      return b - a;
    });
  },
  join(rule, { batch, sequence }) {
    const parts = rule.parts.map(sequence);
    const exact = parts.every((p) => p.exact);
    return Counts.derived(batch, parts, exact, (...counts) => counts.reduce((sum, n) => sum + n, 0));
  },
};

/** Counts of each sequence on an axis of the rule, in a run. */
export const countsOf = <K extends RuleKind>(rule: Rule<K>, run: Counting, axis: string): Counts =>
  COUNTS[rule.kind](rule, run, axis);

type Most = (axis: string) => number | null;

/** The most tokens that a sequence can have, by kind, from that number of each axis before. Null: it is not known. */
const MOST: { readonly [K in RuleKind]: (rule: Rule<K>, of: Most) => number | null } = {
  input: () => null,
  top: ({ parent, k }, of) => least(of(parent), typeof k === "number" ? k : null),
  above: ({ parent }, of) => of(parent),
  span: ({ parent }, of) => of(parent),
  join: ({ parts }, of) => parts.map(of).reduce((sum, n) => (sum === null || n === null ? null : sum + n), 0),
};

/** The most tokens of a sequence on an axis of the rule, which has a bound or none. */
export const mostOf = <K extends RuleKind>(rule: Rule<K>, bound: number | null, of: Most): number | null =>
  least(bound, MOST[rule.kind](rule, of));

const least = (a: number | null, b: number | null): number | null => (a === null ? b : b === null ? a : Math.min(a, b));

/** k as a u32, for each n = 0 … most of a sequence's tokens on the axis `by`; `value` gives the other atoms. */
export function kFunction(
  k: Size,
  by: string,
  most: number,
  value: (atom: OpenAtom) => number | Rational,
): (n: number) => number {
  const whole = sizeFunction(k, by, most, value);
  return (n) => Math.floor(Math.max(0, Math.min(MOST_EXTENT, whole(n))));
}

/** Where the counts are only bounds, k need not grow with them: the largest k of any count up to each. */
function largestK(k: Size, axis: string, by: Counts, atom: Counting["atom"]): (n: number) => number {
  if (typeof k === "number") return () => Math.max(0, Math.min(MOST_EXTENT, k));
  const found = new Map<number, number>();
  let [from, most] = [0, 0n];
  for (const n of by.distinct) {
    most = maxOverRange(k, axis, from, n, atom, most);
    found.set(n, Math.min(MOST_EXTENT, Number(most)));
    from = n;
  }
  return (n) => found.get(n)!;
}

/** First token and the one after the last of a span, on sequences of n = 0 … most tokens. */
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

/** The same on one sequence of n tokens. */
export const spanOf = (rule: Rule<"span">, n: number): readonly [number, number] => spanFunction(rule, n)(n);
