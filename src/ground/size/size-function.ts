// Sizes as functions of an axis: evaluates a size quickly at many values, and finds its maximum over a range without
// evaluating every value.
import * as q from "../numerics/rational.js";
import type { Rational } from "../numerics/rational.js";
import { evaluateSize, isWhole, type Atom, type Size, type SizeExpr } from "./size.js";

export type OpenAtom = Extract<Atom, { kind: "axis" | "rows" | "live" }>;
type Value = (atom: OpenAtom) => number | Rational;

/**
 * The size as a function of the axis's value n = 0 … most (null: every atom has the value n); `value` evaluates the
 * other atoms. The result equals `evaluateSize`, rounded to a number. If all intermediate values are safe integers, as
 * for all but enormous sizes, no evaluation allocates.
 */
export function sizeFunction(size: Size, axis: string | null, most: number, value: Value): (n: number) => number {
  const fraction = compile(size, axis, most, value);
  if (!fraction) return (n) => q.toNumber(evaluateSize(size, (a) => (isOpen(a, axis) ? n : value(a))));
  const { at, den } = fraction;
  return den === 1 ? at : (n) => at(n) / den;
}

const isOpen = (atom: OpenAtom, axis: string | null): boolean =>
  axis === null || (atom.kind === "axis" && atom.axis === axis);

/**
 * The function at(n) / den. `at` returns integers of absolute value at most `bound`, so that doubles hold them exactly.
 */
interface ExactFraction {
  readonly at: (n: number) => number;
  readonly den: number;
  readonly most: number;
}

const exactFraction = (at: (n: number) => number, den: number, most: number): ExactFraction | null =>
  den <= Number.MAX_SAFE_INTEGER && most <= Number.MAX_SAFE_INTEGER ? { at, den, most } : null;

function constant(value: number | Rational): ExactFraction | null {
  const { num, den } = typeof value === "number" ? q.rational(value) : value;
  const n = Number(num);
  return exactFraction(() => n, Number(den), Math.abs(n));
}

function compile(size: Size, axis: string | null, most: number, value: Value): ExactFraction | null {
  if (typeof size === "number") return constant(size);
  let sum = constant(0);
  for (const { coefficient, atoms } of size.terms) {
    let product = constant(coefficient);
    for (const { atom } of atoms) product = product && times(product, compileAtom(atom, axis, most, value));
    sum = sum && product && plus(sum, product);
  }
  return sum;
}

function compileAtom(atom: Atom, axis: string | null, most: number, value: Value): ExactFraction | null {
  switch (atom.kind) {
    case "axis":
    case "rows":
    case "live":
      return isOpen(atom, axis) ? exactFraction((n) => n, 1, most) : constant(value(atom));
    default: {
      const args = atom.args.map((a) => compile(a, axis, most, value));
      return args.every((a) => a !== null) ? apply(atom.kind, args) : null;
    }
  }
}

function times(a: ExactFraction, b: ExactFraction | null): ExactFraction | null {
  return b && exactFraction((n) => a.at(n) * b.at(n), a.den * b.den, a.most * b.most);
}

/** Expands both fractions to their common denominator. */
function toCommonDenominator(a: ExactFraction, b: ExactFraction): readonly [ExactFraction, ExactFraction] | null {
  if (a.den === b.den) return [a, b];
  const [x, y] = [
    exactFraction((n) => a.at(n) * b.den, a.den * b.den, a.most * b.den),
    exactFraction((n) => b.at(n) * a.den, a.den * b.den, b.most * a.den),
  ];
  return x && y && [x, y];
}

function plus(a: ExactFraction, b: ExactFraction): ExactFraction | null {
  const [x, y] = toCommonDenominator(a, b) ?? [null, null];
  return x && y && exactFraction((n) => x.at(n) + y.at(n), x.den, x.most + y.most);
}

function apply(fn: Exclude<Atom["kind"], OpenAtom["kind"]>, args: readonly ExactFraction[]): ExactFraction | null {
  const [a, b] = [args[0]!, args.at(-1)!];
  switch (fn) {
    case "floor":
      return exactFraction((n) => floorDivide(a.at(n), a.den), 1, a.most + 1);
    case "ceil":
      return exactFraction((n) => -floorDivide(-a.at(n), a.den), 1, a.most + 1);
    case "round":
      // Half away from zero: sign(a) · ⌊(2|a| + den) / 2 den⌋.
      return exactFraction(
        (n) => Math.sign(a.at(n)) * floorDivide(2 * Math.abs(a.at(n)) + a.den, 2 * a.den),
        1,
        2 * a.most + 2 * a.den,
      );
    case "min":
    case "max":
      return args
        .slice(1)
        .reduce<ExactFraction | null>((x, y) => x && minOrMax(x, y, fn === "min" ? Math.min : Math.max), a);
    case "mod": {
      const [x, y] = toCommonDenominator(a, b) ?? [null, null];
      return x && y && exactFraction((n) => floorModulo(x.at(n), y.at(n)), x.den, y.most);
    }
    case "div":
      // Division by a function of the axis has no constant denominator.
      return null;
    default:
      return fn satisfies never;
  }
}

function minOrMax(a: ExactFraction, b: ExactFraction, choose: (a: number, b: number) => number): ExactFraction | null {
  const [x, y] = toCommonDenominator(a, b) ?? [null, null];
  return x && y && exactFraction((n) => choose(x.at(n), y.at(n)), x.den, Math.max(x.most, y.most));
}

/** ⌊a / b⌋ for integers, b > 0, without rounding errors. */
function floorDivide(a: number, b: number): number {
  const rest = a % b;
  return (a - rest) / b - (rest < 0 ? 1 : 0);
}

/** a mod b with the sign of b; 0 for b = 0, as in `evaluateSize`. */
function floorModulo(a: number, b: number): number {
  if (b === 0) return 0;
  const rest = a % b;
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
}

/**
 * The maximum, rounded down, of a size for axis values low … high; at least `least`. Branch and bound: a range is
 * skipped if interval arithmetic bounds it by the maximum so far, otherwise bisected. Most sizes are monotonic and need
 * few evaluations.
 */
export function maxOverRange(
  size: SizeExpr,
  axis: string,
  low: number,
  high: number,
  value: Value,
  least: bigint,
): bigint {
  const at = (n: number): bigint =>
    q.floor(evaluateSize(size, (a) => (a.kind === "axis" && a.axis === axis ? n : value(a)))).num;
  let best = least;
  const ranges: (readonly [number, number])[] = [[low, high]];
  for (let range = ranges.pop(); range; range = ranges.pop()) {
    const [from, to] = range;
    if (q.floor(interval(size, axis, q.rational(from), q.rational(to), value)[1]).num <= best) continue;
    for (const n of [from, to]) {
      const result = at(n);
      if (result > best) best = result;
    }
    const middle = Math.floor((from + to) / 2);
    if (to - from > 1) ranges.push([from, middle], [middle, to]);
  }
  return best;
}

type Interval = readonly [Rational, Rational];

const smaller = (a: Rational, b: Rational): Rational => (q.compare(a, b) <= 0 ? a : b);
const larger = (a: Rational, b: Rational): Rational => (q.compare(a, b) >= 0 ? a : b);

/** Interval arithmetic: bounds of the size for axis values `low` … `high`, possibly not tight. */
function interval(size: Size, axis: string, low: Rational, high: Rational, value: Value): Interval {
  if (typeof size === "number") return [q.rational(size), q.rational(size)];
  let sum: Interval = [q.ZERO, q.ZERO];
  for (const { coefficient, atoms } of size.terms) {
    let product: Interval = [coefficient, coefficient];
    for (const { atom } of atoms) product = multiplyIntervals(product, intervalOf(atom, axis, low, high, value));
    sum = [q.add(sum[0], product[0]), q.add(sum[1], product[1])];
  }
  return sum;
}

function intervalOf(atom: Atom, axis: string, low: Rational, high: Rational, value: Value): Interval {
  if (atom.kind === "axis" && atom.axis === axis) return [low, high];
  if (atom.kind === "axis" || atom.kind === "rows" || atom.kind === "live") {
    const v = value(atom);
    const known = typeof v === "number" ? q.rational(v) : v;
    return [known, known];
  }
  const args = atom.args.map((a) => interval(a, axis, low, high, value));
  const [a, b] = [args[0]!, args.at(-1)!];
  switch (atom.kind) {
    case "floor":
      return [q.floor(a[0]), q.floor(a[1])];
    case "ceil":
      return [q.ceil(a[0]), q.ceil(a[1])];
    case "round":
      return [q.round(a[0]), q.round(a[1])];
    case "min":
      return args.reduce((x, y) => [smaller(x[0], y[0]), smaller(x[1], y[1])]);
    case "max":
      return args.reduce((x, y) => [larger(x[0], y[0]), larger(x[1], y[1])]);
    case "mod":
      return moduloIntervals(a, b, atom.args.every(isWhole));
    case "div":
      return divideIntervals(a, b);
    default:
      return atom satisfies never;
  }
}

function multiplyIntervals([a, b]: Interval, [c, d]: Interval): Interval {
  const all = [q.multiply(a, c), q.multiply(a, d), q.multiply(b, c), q.multiply(b, d)];
  return [all.reduce(smaller), all.reduce(larger)];
}

/**
 * Bounds of a mod b. For integers |a mod b| ≤ |b| − 1. If b is an interval of unknown sign, only its largest absolute
 * value is used.
 */
function moduloIntervals([a, b]: Interval, [c, d]: Interval, whole: boolean): Interval {
  if (q.equal(c, d) && c.num !== 0n && q.equal(q.floor(q.divide(a, c)), q.floor(q.divide(b, c))))
    return [q.modulo(a, c), q.modulo(b, c)];
  const one = whole ? q.ONE : q.ZERO;
  return [smaller(q.ZERO, q.add(c, one)), larger(q.ZERO, q.subtract(d, one))];
}

/** Bounds of a / b. If b may be 0 or close to it, the quotient is unbounded for the purpose of this analysis. */
function divideIntervals(a: Interval, [c, d]: Interval): Interval {
  if (c.num > 0n || d.num < 0n) return multiplyIntervals(a, [q.divide(q.ONE, d), q.divide(q.ONE, c)]);
  return UNBOUNDED;
}

/** An interval that contains every size in use. */
const UNBOUNDED: Interval = [q.rational(-(2n ** 256n)), q.rational(2n ** 256n)];
