// The number of tokens that a choice takes, as exact Python: a function of the length of the sequence.
import type { Model, Value } from "../check/model.js";
import type { Rational } from "../size/rational.js";
import type { Size, Term } from "../size/size.js";
import type { Holes } from "./holes.js";
import { refuse, type Place } from "./refused.js";

/** A rational as Python writes it. */
export const pythonRatio = ({ num, den }: Rational): string => (den === 1n ? `${num}` : `Fraction(${num}, ${den})`);

/** The k of a `top` for a sequence of n tokens: an expression of n, in whole numbers. */
export function countOfTop(model: Model, value: Value<"top"> | Value<"top_tokens">, holes: Holes): string {
  const axis = model.axes.find(({ name }) => name === value.attrs.axis);
  if (axis?.role !== "sequence" || axis.count.kind !== "top") refuse("this choice", value);
  return sizeText(axis.count.k, value, holes);
}

/**
 * A whole size that does not fall as n grows: a sum of constants, of lengths and of shares of them that are rounded, or
 * the larger or smaller of such.
 */
export function sizeText(size: Size, place: Place, holes: Holes): string {
  if (typeof size === "number") return holes.add(String(size), "k");
  if (size.terms.length === 0) return "0";
  return size.terms.map((term, i) => termText(term, i === 0, place, holes)).join("");
}

/** A size as a number of n that may be no whole one: a share of the tokens is not rounded. */
export function realText(size: Size, place: Place, holes: Holes): string {
  if (typeof size === "number" || size.terms.length !== 1 || !isShare(size.terms[0]!))
    return sizeText(size, place, holes);
  const [term] = size.terms;
  return term!.coefficient.den === 1n ? sizeText(size, place, holes) : `float(${shareText(term!, holes)}) * n`;
}

function termText({ coefficient, atoms }: Term, isFirst: boolean, place: Place, holes: Holes): string {
  const fail = (): never => refuse("this number of tokens", place);
  const [factor, ...others] = atoms;
  if (coefficient.den !== 1n || others.length > 0) fail();
  const sign = coefficient.num < 0n ? (isFirst ? "-" : " - ") : isFirst ? "" : " + ";
  if (!factor) return `${sign}${coefficient.num < 0n ? -coefficient.num : coefficient.num}`;
  if (coefficient.num !== 1n) fail();
  const { atom } = factor;
  if (atom.kind === "axis") return `${sign}n`;
  if (atom.kind === "ceil" || atom.kind === "floor") {
    const [share, ...rest] = atom.args[0]?.terms ?? [];
    if (share && rest.length === 0 && isShare(share)) return `${sign}mt.${atom.kind}_of(${shareText(share, holes)}, n)`;
  }
  if (atom.kind === "max" || atom.kind === "min")
    return (
      sign +
      atom.args
        .map((arg) => sizeText(arg, place, holes))
        .reduce((a, b) => `mt.${atom.kind === "max" ? "larger" : "smaller"}(${a}, ${b})`)
    );
  return fail();
}

/** A share of the tokens: the length times a ratio, a live parameter, or both. */
const isShare = ({ atoms }: Term): boolean =>
  atoms.filter(({ atom }) => atom.kind === "axis").length === 1 &&
  atoms.length <= 2 &&
  atoms.every(({ atom }) => atom.kind === "axis" || atom.kind === "live");

function shareText({ coefficient, atoms }: Term, holes: Holes): string {
  const live = atoms.flatMap(({ atom }) => (atom.kind === "live" ? [`run.live["${atom.name}"]`] : []));
  const isOne = coefficient.num === 1n && coefficient.den === 1n;
  const own = live.length > 0 && isOne ? [] : [holes.add(pythonRatio(coefficient), "capacity")];
  return [...own, ...live].join(" * ");
}
