// Evaluates sizes with exact shares, as papers count: capacities are not rounded to whole tokens.
import { bug } from "../../ground/base/invariant.js";
import type { Axis, RunSizes } from "../../ground/size/axes.js";
import type { Rule, RuleKind } from "../../ground/size/count-rules.js";
import * as q from "../../ground/numerics/rational.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { evaluateSize, substitute, type Atom, type Size } from "../../ground/size/size.js";

export type RunShares = Pick<RunSizes, "extents" | "live">;

/** Evaluates sizes, with exact shares or with rounded counts. */
export interface SizeValues {
  rational(size: Size): Rational;
}

/**
 * Evaluates sizes with `ceil(c·T)` as c·T, and with every sequence full. `dense`: routed axes keep all tokens. Since
 * counts may be fractions of tokens, only ledgers can use these sizes, not runs.
 */
export function resolveShares(axes: readonly Axis[], run: RunShares, dense: boolean): SizeValues {
  const byName = new Map(axes.map((axis) => [axis.name, axis]));
  const batchAxis = axes.find((axis) => axis.role === "batch");
  const batch = batchAxis ? q.rational(extent(batchAxis.name)) : q.ONE;
  const counts = new Map<string, Rational>();
  const values = new Map<string, Rational>();

  function extent(name: string): number {
    const value = run.extents.get(name);
    if (value === undefined) bug(`no extent for axis ${name}`);
    return value;
  }
  function count(name: string): Rational {
    const done = counts.get(name);
    if (done) return done;
    const axis = byName.get(name);
    const value = axis?.role === "sequence" ? countOf(axis.name, axis.count) : q.rational(extent(name));
    counts.set(name, value);
    return value;
  }
  const shares: { readonly [K in RuleKind]: (rule: Rule<K>, axis: string) => Rational } = {
    input: (_, axis) => q.rational(extent(axis)),
    top: ({ parent, k }) => (dense ? count(parent) : clamp(evaluate(k), count(parent))),
    above: ({ parent, expected }) => (dense ? count(parent) : q.multiply(count(parent), expected)),
    those: ({ parent, within, expected }) =>
      within
        .map(count)
        .reduce(
          (most, part) => (q.compare(part, most) < 0 ? part : most),
          dense ? count(parent) : q.multiply(count(parent), expected),
        ),
    entry: ({ parent, expected }) => q.multiply(count(parent), expected),
    rest: ({ parent, taken }) => (dense ? count(parent) : q.subtract(count(parent), count(taken))),
    span({ parent, start, stop }) {
      const parentCount = count(parent);
      const at = (size: Size): Rational => {
        const value = evaluateSize(size, () => parentCount);
        return clamp(q.compare(value, q.ZERO) < 0 ? q.add(value, parentCount) : value, parentCount);
      };
      return clamp(q.subtract(stop === null ? parentCount : at(stop), at(start)), parentCount);
    },
    stride: ({ parent, step }) => q.divide(count(parent), evaluate(step)),
    fixed: ({ tokens }) => evaluate(tokens),
    join: ({ parts }) => parts.map(count).reduce(q.add, q.ZERO),
  };
  const countOf = <K extends RuleKind>(axis: string, rule: Rule<K>): Rational => shares[rule.kind](rule, axis);
  function evaluate(size: Size): Rational {
    return evaluateSize(unrounded(size), (atom) => {
      if (atom.kind === "rows") return q.multiply(batch, count(atom.axis));
      if (atom.kind === "axis") return count(atom.axis);
      const value = run.live.get(atom.name);
      if (!value) bug(`no value for live ${atom.name}`);
      return value;
    });
  }
  return {
    rational(size) {
      if (typeof size === "number") return q.rational(size);
      let value = values.get(size.key);
      if (!value) values.set(size.key, (value = evaluate(size)));
      return value;
    },
  };
}

/** The value clamped to 0 … `most`. */
const clamp = (value: Rational, most: Rational): Rational =>
  q.compare(value, q.ZERO) < 0 ? q.ZERO : q.compare(value, most) > 0 ? most : value;

/** The size without `ceil`, `floor` and `round`. */
function unrounded(size: Size): Size {
  return substitute(size, (atom: Atom) =>
    atom.kind === "ceil" || atom.kind === "floor" || atom.kind === "round" ? unrounded(atom.args[0]!) : null,
  );
}
