// Exact rational numbers, with which compile-time ratios and sizes never round.
import { bug } from "../base/invariant.js";

/** num / den in lowest terms, den > 0. */
export interface Rational {
  readonly num: bigint;
  readonly den: bigint;
}

export function rational(num: bigint | number, den: bigint | number = 1): Rational {
  let n = BigInt(num);
  let d = BigInt(den);
  if (d === 0n) bug("rational with denominator 0");
  if (d < 0n) [n, d] = [-n, -d];
  const g = gcd(n < 0n ? -n : n, d);
  return g === 1n ? { num: n, den: d } : { num: n / g, den: d / g };
}

export const ZERO: Rational = { num: 0n, den: 1n };
export const ONE: Rational = { num: 1n, den: 1n };

function gcd(a: bigint, b: bigint): bigint {
  while (b !== 0n) [a, b] = [b, a % b];
  return a === 0n ? 1n : a;
}

export const add = (a: Rational, b: Rational): Rational =>
  a.den === 1n && b.den === 1n
    ? { num: a.num + b.num, den: 1n }
    : rational(a.num * b.den + b.num * a.den, a.den * b.den);
export const negate = (a: Rational): Rational => ({ num: -a.num, den: a.den });
export const subtract = (a: Rational, b: Rational): Rational => add(a, negate(b));
export const multiply = (a: Rational, b: Rational): Rational =>
  a.den === 1n && b.den === 1n ? { num: a.num * b.num, den: 1n } : rational(a.num * b.num, a.den * b.den);

/** a / b; the caller has checked that b is not zero. */
export const divide = (a: Rational, b: Rational): Rational => rational(a.num * b.den, a.den * b.num);

export const compare = (a: Rational, b: Rational): number => {
  const d = a.num * b.den - b.num * a.den;
  return d < 0n ? -1 : d > 0n ? 1 : 0;
};
export const isInteger = (a: Rational): boolean => a.den === 1n;
export const equal = (a: Rational, b: Rational): boolean => a.num === b.num && a.den === b.den;

export function floor(a: Rational): Rational {
  const q = a.num / a.den;
  return { num: a.num < 0n && q * a.den !== a.num ? q - 1n : q, den: 1n };
}
export const ceil = (a: Rational): Rational => negate(floor(negate(a)));

/** Rounds half away from zero, like the language's `round`. */
export function round(a: Rational): Rational {
  const half = rational(1, 2);
  return a.num < 0n ? negate(floor(add(negate(a), half))) : floor(add(a, half));
}

/** Remainder with the sign of the divisor, like Python's `%`. */
export const modulo = (a: Rational, b: Rational): Rational => subtract(a, multiply(b, floor(divide(a, b))));

export const toNumber = (a: Rational): number => (a.den === 1n ? Number(a.num) : divideToNumber(a));

/** Correct even if num or den exceed the range of a double. */
function divideToNumber(a: Rational): number {
  const n = Number(a.num);
  const d = Number(a.den);
  if (Number.isFinite(n) && Number.isFinite(d)) return n / d;
  const shift = BigInt(Math.max(a.num.toString(2).length, a.den.toString(2).length) - 1000);
  return Number(a.num >> shift) / Number(a.den >> shift);
}

/** The exact value of a decimal literal such as `12`, `0.125`, `1e-5`; null for any other text. */
export function parseDecimal(text: string): Rational | null {
  const m = /^(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,4}))?$/.exec(text);
  if (!m) return null;
  const fraction = m[2] ?? "";
  const exponent = Number(m[3] ?? "0") - fraction.length;
  const digits = BigInt(m[1]! + fraction);
  return exponent >= 0 ? rational(digits * 10n ** BigInt(exponent)) : rational(digits, 10n ** BigInt(-exponent));
}

/** Prints `3` or `1/8`; `parseRational` is the inverse. */
export const printRational = (a: Rational): string => (a.den === 1n ? `${a.num}` : `${a.num}/${a.den}`);

export function parseRational(text: string): Rational | null {
  const m = /^(-?\d+)(?:\/([1-9]\d*))?$/.exec(text.trim());
  return m ? rational(BigInt(m[1]!), BigInt(m[2] ?? "1")) : null;
}
