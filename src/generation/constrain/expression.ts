// Expressions over characters: the common form of grammars, patterns and JSON schemas.

/** Code points from the first to the last, both included. */
export type Range = readonly [first: number, last: number];

export type Expression =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "characters"; readonly ranges: readonly Range[] }
  | { readonly kind: "sequence"; readonly parts: readonly Expression[] }
  | { readonly kind: "choice"; readonly parts: readonly Expression[] }
  | { readonly kind: "repeat"; readonly of: Expression; readonly least: number; readonly most: number }
  | { readonly kind: "rule"; readonly name: string };

/** Expressions by the names of their rules. */
export type Rules = ReadonlyMap<string, Expression>;

export const LAST_POINT = 0x10ffff;
export const ANY: readonly Range[] = [[0, LAST_POINT]];

export const text = (value: string): Expression => ({ kind: "text", text: value });
export const charactersOf = (ranges: readonly Range[]): Expression => ({ kind: "characters", ranges });
export const characters = (...ranges: readonly Range[]): Expression => charactersOf(ranges);
/** Of lists that may be long: a call takes only so many arguments. */
export const sequenceOf = (parts: readonly Expression[]): Expression => ({ kind: "sequence", parts });
export const sequence = (...parts: readonly Expression[]): Expression => sequenceOf(parts);
export const choiceOf = (parts: readonly Expression[]): Expression =>
  parts.length === 1 ? parts[0]! : { kind: "choice", parts };
export const choice = (...parts: readonly Expression[]): Expression => choiceOf(parts);
/** `most`: Infinity if there is no limit. */
export const repeat = (of: Expression, least: number, most: number): Expression => ({
  kind: "repeat",
  of,
  least,
  most,
});
export const optional = (of: Expression): Expression => repeat(of, 0, 1);
export const rule = (name: string): Expression => ({ kind: "rule", name });

/** The empty text. */
export const NOTHING: Expression = sequence();

/** Sorts ranges, and joins ranges that touch. */
export function merged(ranges: readonly Range[]): readonly Range[] {
  const all: [number, number][] = [];
  for (const [first, last] of ranges.toSorted((a, b) => a[0] - b[0])) {
    const before = all.at(-1);
    if (before && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else if (first <= last) all.push([first, last]);
  }
  return all;
}

/** The code points that none of the ranges has. */
export function complement(ranges: readonly Range[]): readonly Range[] {
  const all: Range[] = [];
  let next = 0;
  for (const [first, last] of merged(ranges)) {
    if (first > next) all.push([next, first - 1]);
    next = last + 1;
  }
  return next <= LAST_POINT ? [...all, [next, LAST_POINT]] : all;
}
