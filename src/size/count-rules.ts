// Count rules: how many tokens each sequence has on a sequence axis. Here are the kinds of rules and what they are made
// of; what they count is in `counting.ts`.
import type { Rational } from "./rational.js";
import { atomsOf, type Size } from "./size.js";

/** What a field of a rule holds, where sizes are of type S and ratios of type R. */
interface Forms<S, R> {
  /** An axis the rule is made from, or several. */
  readonly axis: string;
  readonly axes: readonly string[];
  readonly size: S;
  /** A token: its number, or negative from the end. */
  readonly place: S;
  /** The token behind the last; null is the end itself. */
  readonly end: S | null;
  readonly ratio: R;
}
type Form = keyof Forms<unknown, unknown>;

/**
 * The fields of each kind, those that say which axes it is made from first. Inside a `size`, a `place` and an `end`, an
 * axis atom means that sequence's own count.
 */
const FIELDS = {
  /** An axis of the model's inputs: `lengths`, or the input's extent. */
  input: {},
  /** The k best of `parent`: min(max(k, 0), count of parent). */
  top: { parent: "axis", k: "size" },
  /** Those of `parent` above a threshold: known only on the device; `expected` is the share assumed for costs. */
  above: { parent: "axis", expected: "ratio" },
  /** The tokens start … stop − 1 of `parent`, as Python slices, clamped. */
  span: { parent: "axis", start: "place", stop: "end" },
  /** The tokens of each part, one part after the other. */
  join: { parts: "axes" },
} as const satisfies Readonly<Record<string, Readonly<Record<string, Form>>>>;
type Fields = typeof FIELDS;

export type RuleKind = keyof Fields;

/** A rule of some kinds. */
export type Rule<K extends RuleKind, S = Size, R = Rational> = {
  [P in K]: { readonly kind: P } & { readonly [N in keyof Fields[P]]: Forms<S, R>[Fields[P][N] & Form] };
}[K];
/** A rule of any kind. */
export type CountRule<S = Size, R = Rational> = Rule<RuleKind, S, R>;

export const ruleKinds = (): readonly RuleKind[] => Object.keys(FIELDS) as RuleKind[]; // the keys of a constant table
export const fieldsOf = (kind: RuleKind): readonly string[] => Object.keys(FIELDS[kind]);

/** A field of a rule with its form and what it holds. */
type Field<S, R> = { [F in Form]: readonly [name: string, form: F, value: Forms<S, R>[F]] }[Form];

const entriesOf = <S, R>(rule: CountRule<S, R>): readonly Field<S, R>[] =>
  Object.entries<Form>(FIELDS[rule.kind]).map(
    // of the form that its kind says
    ([name, form]) => [name, form, (rule as Readonly<Record<string, unknown>>)[name]] as Field<S, R>,
  );

/** What to make of the parts of a rule. */
export interface RuleMap<S, R, T, Q> {
  readonly size: (size: S) => T;
  readonly ratio: (ratio: R) => Q;
}

/** The same rule of other sizes or ratios. */
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

/** The axes a rule is made from, in their order. */
export const parentsOf = (rule: CountRule<unknown, unknown>): readonly string[] =>
  entriesOf(rule).flatMap(([, form, value]) => (form === "axis" || form === "axes" ? value : []));

/** The sizes a rule is made of. */
export const sizesOf = <S>(rule: CountRule<S, unknown>): readonly S[] =>
  entriesOf(rule).flatMap(([, form, value]) =>
    (form === "size" || form === "place" || form === "end") && value !== null ? [value] : [],
  );

/** A rule whose fields are made one by one, in their order, each as its form says. */
export function makeRule<S, R>(
  kind: RuleKind,
  make: { readonly [F in Form]: (field: string) => Forms<S, R>[F] },
): CountRule<S, R> {
  const fields = Object.entries<Form>(FIELDS[kind]).map(([name, form]) => [name, make[form](name)]);
  return { kind, ...Object.fromEntries(fields) } as CountRule<S, R>; // with the fields of its kind
}

/** A text by which rules are alike that count the same of the same axes; `axis` says what an axis is called. */
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

/** Names of the axes that a size mentions by their counts. */
export const axesIn = (size: Size): readonly string[] =>
  [...atomsOf(size)].flatMap((a) => (a.kind === "axis" ? [a.axis] : []));

/** Whether only the device knows the counts that a rule gives; `onDevice` says it of the axes before. */
export const countedOnDevice = (rule: CountRule, onDevice: (axis: string) => boolean): boolean =>
  rule.kind === "above" || [...parentsOf(rule), ...sizesOf(rule).flatMap(axesIn)].some(onDevice);
