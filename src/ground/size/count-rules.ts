// Count rules: how the number of tokens of each sequence on an axis is computed. Defines the kinds of rules and their
// fields; `counting.ts` evaluates them.
import type { Rational } from "../numerics/rational.js";
import { atomsOf, type Size } from "./size.js";

/** The type of each form of field, with sizes of type S and ratios of type R. */
interface Forms<S, R> {
  /** The axis, or several axes, from which the rule derives. */
  readonly axis: string;
  readonly axes: readonly string[];
  readonly size: S;
  /** Index of a token; negative values count from the end. */
  readonly place: S;
  /** Index after the last token; null is the end of the sequence. */
  readonly end: S | null;
  readonly ratio: R;
}
type Form = keyof Forms<unknown, unknown>;

/**
 * The fields of each kind of rule; axes first. In a `size`, a `place` and an `end`, an axis atom is the sequence's own
 * count.
 */
const FIELDS = {
  /** A sequence axis of the model's inputs: the counts are `lengths`, or the input's extent for every sequence. */
  input: {},
  /** The k tokens of `parent` with the highest scores: min(max(k, 0), count of parent) tokens. */
  top: { parent: "axis", k: "size" },
  /**
   * The tokens of `parent` whose score exceeds a threshold. Only the device knows the counts; `expected` is the share
   * that cost estimates assume.
   */
  above: { parent: "axis", expected: "ratio" },
  /**
   * The tokens of `parent` that chose a particular entry, such as an expert. `expected` as for `above`; it also applies
   * if nothing is skipped, since a choice among entries skips nothing.
   */
  entry: { parent: "axis", expected: "ratio" },
  /**
   * The tokens of `parent` whose mask is true. Each axis of `within` contains all of them: a route on the same parent
   * whose counts the host knows. `expected` as for `above`.
   */
  those: { parent: "axis", within: "axes", expected: "ratio" },
  /** The tokens of `parent` that the route `taken` did not choose. */
  rest: { parent: "axis", taken: "axis" },
  /** The tokens start … stop − 1 of `parent`, clamped like Python slices. */
  span: { parent: "axis", start: "place", stop: "end" },
  /** Every `step`-th token of `parent`, from the first on. */
  stride: { parent: "axis", step: "size" },
  /** So many tokens in each sequence: a fixed axis of a tensor. */
  fixed: { tokens: "size" },
  /** The concatenated tokens of the parts. */
  join: { parts: "axes" },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Form>>>>;
type Fields = typeof FIELDS;

export type RuleKind = keyof Fields;

/** A rule of any of the kinds K. */
export type Rule<K extends RuleKind, S = Size, R = Rational> = {
  [P in K]: { readonly kind: P } & { readonly [N in keyof Fields[P]]: Forms<S, R>[Fields[P][N] & Form] };
}[K];
/** A rule of any kind. */
export type CountRule<S = Size, R = Rational> = Rule<RuleKind, S, R>;

export const ruleKinds = (): readonly RuleKind[] => Object.keys(FIELDS) as RuleKind[]; // the keys of a constant table
export const fieldsOf = (kind: RuleKind): readonly string[] => Object.keys(FIELDS[kind]);

/** A field of a rule: name, form and value. */
type Field<S, R> = { [F in Form]: readonly [name: string, form: F, value: Forms<S, R>[F]] }[Form];

const entriesOf = <S, R>(rule: CountRule<S, R>): readonly Field<S, R>[] =>
  Object.entries<Form>(FIELDS[rule.kind]).map(
    // FIELDS states the form of each field of this kind
    ([name, form]) => [name, form, (rule as Readonly<Record<string, unknown>>)[name]] as Field<S, R>,
  );

/** Conversions of sizes and ratios for `mapRule`. */
export interface RuleMap<S, R, T, Q> {
  readonly size: (size: S) => T;
  readonly ratio: (ratio: R) => Q;
}

/** Converts the sizes and ratios of a rule. */
export const mapRule = <S, R, T, Q>(rule: CountRule<S, R>, { size, ratio }: RuleMap<S, R, T, Q>): CountRule<T, Q> =>
  ({
    kind: rule.kind,
    ...Object.fromEntries(
      entriesOf(rule).map(([name, form, value]) => [
        name,
        form === "axis" || form === "axes" || value === null ? value : form === "ratio" ? ratio(value) : size(value),
      ]),
    ),
  }) as CountRule<T, Q>; // with the fields of its kind

/** The axes from which a rule derives, in order. */
export const parentsOf = (rule: CountRule<unknown, unknown>): readonly string[] =>
  entriesOf(rule).flatMap(([, form, value]) => (form === "axis" || form === "axes" ? value : []));

export const sizesOf = <S>(rule: CountRule<S, unknown>): readonly S[] =>
  entriesOf(rule).flatMap(([, form, value]) =>
    (form === "size" || form === "place" || form === "end") && value !== null ? [value] : [],
  );

/** Creates a rule: `make` returns the value of each field, in order, by its form. */
export function makeRule<S, R>(
  kind: RuleKind,
  make: { readonly [F in Form]: (field: string) => Forms<S, R>[F] },
): CountRule<S, R> {
  const fields = Object.entries<Form>(FIELDS[kind]).map(([name, form]) => [name, make[form](name)]);
  return { kind, ...Object.fromEntries(fields) } as CountRule<S, R>; // with the fields of its kind
}

/** A key that is equal for rules that compute equal counts; `axis` maps the names of axes. */
export const ruleKey = <S, R>(rule: CountRule<S, R>, axis: (name: string) => string): string =>
  JSON.stringify(
    entriesOf(rule).reduce(
      (key: unknown[], [, form, value]) => [
        ...key,
        form === "axis" ? axis(value) : form === "axes" ? value.map(axis) : value,
      ],
      [rule.kind],
    ),
  );

/** The axis from which a route chose its tokens, which keep their positions; null for an axis that is not a route. */
export const chosenFrom = (rule: CountRule<unknown, unknown>): string | null =>
  !isCut(rule) && "parent" in rule ? rule.parent : null;

/** Whether the axis is cut from its parent by the places of tokens: its positions begin at 0. */
export const isCut = <S, R>(rule: CountRule<S, R>): rule is Rule<"span" | "stride", S, R> =>
  rule.kind === "span" || rule.kind === "stride";

/** The share of the parent's tokens that a choice by a mask or threshold declares; null for other rules. */
export const declaredShare = <R>(rule: CountRule<unknown, R>): R | null => ("expected" in rule ? rule.expected : null);

export const axesIn = (size: Size): readonly string[] =>
  [...atomsOf(size)].flatMap((a) => (a.kind === "axis" ? [a.axis] : []));

/** Whether only the device knows the counts of a rule; `onDevice` answers this for preceding axes. */
export const countedOnDevice = (rule: CountRule, onDevice: (axis: string) => boolean): boolean =>
  "expected" in rule || [...parentsOf(rule), ...sizesOf(rule).flatMap(axesIn)].some(onDevice);
