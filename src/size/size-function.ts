// A size as a function of one axis: its values in quick succession, and the largest of a range without a look at each.
import * as q from "./rational.js";
import type { Rational } from "./rational.js";
import { evaluateSize, isWhole, type Atom, type Size, type SizeExpr } from "./size.js";

export type OpenAtom = Extract<Atom, { kind: "axis" | "rows" | "live" }>;
type Value = (atom: OpenAtom) => number | Rational;

/**
 * The size for n = 0 … most of the axis (null: of every atom), every other atom as `value` says: exactly what
 * `evaluateSize` gives, as the nearest number. Where doubles hold all that lies between, as they do but for enormous
 * sizes, nothing is allocated for a value.
 */
export function sizeFunction(size: Size, axis: string | null, most: number, value: Value): (n: number) => number {
  const quick = compile(size, axis, most, value);
  if (!quick) return (n) => q.toNumber(evaluateSize(size, (a) => (isOpen(a, axis) ? n : value(a))));
  const { at, den } = quick;
  return den === 1 ? at : (n) => at(n) / den;
}

const isOpen = (atom: OpenAtom, axis: string | null): boolean =>
  axis === null || (atom.kind === "axis" && atom.axis === axis);

/** at(n) / den; `at` is whole and at most `most` in size. */
interface Fraction {
  readonly at: (n: number) => number;
  readonly den: number;
  readonly most: number;
}

const checked = (at: (n: number) => number, den: number, most: number): Fraction | null =>
  den <= Number.MAX_SAFE_INTEGER && most <= Number.MAX_SAFE_INTEGER ? { at, den, most } : null;

function constant(value: number | Rational): Fraction | null {
  const { num, den } = typeof value === "number" ? q.rational(value) : value;
  const n = Number(num);
  return checked(() => n, Number(den), Math.abs(n));
}

function compile(size: Size, axis: string | null, most: number, value: Value): Fraction | null {
  if (typeof size === "number") return constant(size);
  let sum = constant(0);
  for (const { coefficient, atoms } of size.terms) {
    let product = constant(coefficient);
    for (const { atom } of atoms) product = product && times(product, compileAtom(atom, axis, most, value));
    sum = sum && product && plus(sum, product);
  }
  return sum;
}

function compileAtom(atom: Atom, axis: string | null, most: number, value: Value): Fraction | null {
  switch (atom.kind) {
    case "axis":
    case "rows":
    case "live":
      return isOpen(atom, axis) ? checked((n) => n, 1, most) : constant(value(atom));
    default: {
      const args = atom.args.map((a) => compile(a, axis, most, value));
      return args.every((a) => a !== null) ? apply(atom.kind, args) : null;
    }
  }
}

function times(a: Fraction, b: Fraction | null): Fraction | null {
  return b && checked((n) => a.at(n) * b.at(n), a.den * b.den, a.most * b.most);
}

/** Both over one denominator. */
function common(a: Fraction, b: Fraction): readonly [Fraction, Fraction] | null {
  if (a.den === b.den) return [a, b];
  const [x, y] = [
    checked((n) => a.at(n) * b.den, a.den * b.den, a.most * b.den),
    checked((n) => b.at(n) * a.den, a.den * b.den, b.most * a.den),
  ];
  return x && y && [x, y];
}

function plus(a: Fraction, b: Fraction): Fraction | null {
  const [x, y] = common(a, b) ?? [null, null];
  return x && y && checked((n) => x.at(n) + y.at(n), x.den, x.most + y.most);
}

function apply(fn: Exclude<Atom["kind"], OpenAtom["kind"]>, args: readonly Fraction[]): Fraction | null {
  const [a, b] = [args[0]!, args.at(-1)!];
  switch (fn) {
    case "floor":
      return checked((n) => floorOf(a.at(n), a.den), 1, a.most + 1);
    case "ceil":
      return checked((n) => -floorOf(-a.at(n), a.den), 1, a.most + 1);
    case "round":
      // Half away from zero: ⌊(2|a| + den) / 2 den⌋ with a's sign.
      return checked(
        (n) => Math.sign(a.at(n)) * floorOf(2 * Math.abs(a.at(n)) + a.den, 2 * a.den),
        1,
        2 * a.most + 2 * a.den,
      );
    case "min":
    case "max":
      return args.slice(1).reduce<Fraction | null>((x, y) => x && chosen(x, y, fn === "min" ? Math.min : Math.max), a);
    case "mod": {
      const [x, y] = common(a, b) ?? [null, null];
      return x && y && checked((n) => modOf(x.at(n), y.at(n)), x.den, y.most);
    }
    case "div":
      // Only by what does not change with the axis: else there is no one denominator.
      return null;
    default:
      return fn satisfies never;
  }
}

function chosen(a: Fraction, b: Fraction, choose: (a: number, b: number) => number): Fraction | null {
  const [x, y] = common(a, b) ?? [null, null];
  return x && y && checked((n) => choose(x.at(n), y.at(n)), x.den, Math.max(x.most, y.most));
}

/** ⌊a / b⌋ of whole numbers, b > 0, without rounding. */
function floorOf(a: number, b: number): number {
  const rest = a % b;
  return (a - rest) / b - (rest < 0 ? 1 : 0);
}

/** With the sign of the divisor; 0 where that is 0, as `evaluateSize` has it. */
function modOf(a: number, b: number): number {
  if (b === 0) return 0;
  const rest = a % b;
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
}

/**
 * The largest value of a size for n = low … high of the axis, rounded down, and at least `least`. By halving: a range
 * whose upper bound in interval arithmetic is not above what was found is left, so of most sizes, which grow, a look at
 * a few values is enough.
 */
export function largestOf(
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
      const found = at(n);
      if (found > best) best = found;
    }
    const middle = Math.floor((from + to) / 2);
    if (to - from > 1) ranges.push([from, middle], [middle, to]);
  }
  return best;
}

type Interval = readonly [Rational, Rational];

const smaller = (a: Rational, b: Rational): Rational => (q.compare(a, b) <= 0 ? a : b);
const larger = (a: Rational, b: Rational): Rational => (q.compare(a, b) >= 0 ? a : b);

/** Between what the size lies where the axis lies from `low` to `high`; perhaps wider than it must be. */
function interval(size: Size, axis: string, low: Rational, high: Rational, value: Value): Interval {
  if (typeof size === "number") return [q.rational(size), q.rational(size)];
  let sum: Interval = [q.ZERO, q.ZERO];
  for (const { coefficient, atoms } of size.terms) {
    let product: Interval = [coefficient, coefficient];
    for (const { atom } of atoms) product = product4(product, intervalOf(atom, axis, low, high, value));
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
      return remainder(a, b, atom.args.every(isWhole));
    case "div":
      return quotient(a, b);
    default:
      return atom satisfies never;
  }
}

function product4([a, b]: Interval, [c, d]: Interval): Interval {
  const all = [q.multiply(a, c), q.multiply(a, d), q.multiply(b, c), q.multiply(b, d)];
  return [all.reduce(smaller), all.reduce(larger)];
}

/**
 * Of whole numbers a remainder is at least one less than the divisor. Without a sign of its own the divisor says
 * nothing but how large it may be.
 */
function remainder([a, b]: Interval, [c, d]: Interval, whole: boolean): Interval {
  if (q.equal(c, d) && c.num !== 0n && q.equal(q.floor(q.divide(a, c)), q.floor(q.divide(b, c))))
    return [q.modulo(a, c), q.modulo(b, c)];
  const one = whole ? q.ONE : q.ZERO;
  return [smaller(q.ZERO, q.add(c, one)), larger(q.ZERO, q.subtract(d, one))];
}

/**
 * By a divisor that may be 0 the quotient is 0, and next to it anything up to the dividend by the least part that a
 * size can have.
 */
function quotient(a: Interval, [c, d]: Interval): Interval {
  if (c.num > 0n || d.num < 0n) return product4(a, [q.divide(q.ONE, d), q.divide(q.ONE, c)]);
  return UNKNOWN;
}

/** Wider than any size that is of use. */
const UNKNOWN: Interval = [q.rational(-(2n ** 256n)), q.rational(2n ** 256n)];
