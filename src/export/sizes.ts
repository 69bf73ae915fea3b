// The number of tokens that a choice takes, as exact Python: a function of the length of the sequence.
import type { Model, Value } from "../check/model.js";
import { countingAxis } from "../size/axes.js";
import type { Rational } from "../size/rational.js";
import type { Size, Term } from "../size/size.js";
import type { Holes } from "./holes.js";
import { refuse } from "./refused.js";

/** A rational as Python writes it. */
export const pythonRatio = ({ num, den }: Rational): string => (den === 1n ? `${num}` : `Fraction(${num}, ${den})`);

/** The k of a `top` for a sequence of n tokens: an expression of n, in whole numbers. */
export function countOfTop(model: Model, value: Value<"top">, holes: Holes): string {
  const axis = model.axes.find(({ name }) => name === value.attrs.axis);
  if (axis?.role !== "sequence" || axis.count.kind !== "top") refuse("this choice", value.path);
  const { k, parent } = axis.count;
  const by = countingAxis(model.axes, axis.count);
  if (by !== parent) refuse("a number of tokens that follows another sequence than is chosen from", value.path);
  return sizeText(k, value.path, holes);
}

function sizeText(size: Size, path: string, holes: Holes): string {
  if (typeof size === "number") return holes.add(String(size), "k");
  const [term, ...more] = size.terms;
  if (!term) return "0";
  if (more.length > 0) refuse(`the number of tokens ${size.key}`, path);
  const whole = term.coefficient.num === 1n && term.coefficient.den === 1n;
  const [factor, ...others] = term.atoms;
  if (factor && others.length === 0 && whole) {
    const { atom } = factor;
    if (atom.kind === "axis") return "n";
    if (atom.kind === "ceil" || atom.kind === "floor") {
      const [share, ...rest] = atom.args[0]?.terms ?? [];
      if (share && rest.length === 0 && isShare(share))
        return `mt.${atom.kind}_of(${holes.add(pythonRatio(share.coefficient), "capacity")}, n)`;
    }
  }
  return refuse(`the number of tokens ${size.key}`, path);
}

/** A share of the tokens: a ratio times the length. */
const isShare = ({ atoms: [factor, ...others] }: Term): boolean => others.length === 0 && factor?.atom.kind === "axis";
