// The elementwise functions of the language for the oracle, in plain 64-bit arithmetic.
import type { LogicalAttrs } from "../../src/check/model.js";

/** erf by its Maclaurin series up to |x| = 6, where double precision still holds to 1e-9 of 1. */
const erf = (x: number): number => {
  if (Math.abs(x) > 5) return Math.sign(x);
  let term = x;
  let total = x;
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n;
    total += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * total;
};
export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Of up to three arguments; booleans are 0 and 1. */
export const FUNCTIONS: Readonly<Record<LogicalAttrs["pointwise"]["fn"], (a: number, b: number, c: number) => number>> =
  {
    add: (a, b) => a + b,
    sub: (a, b) => a - b,
    mul: (a, b) => a * b,
    div: (a, b) => a / b,
    pow: (a, b) => a ** b,
    neg: (a) => -a,
    min: (a, b) => Math.min(a, b),
    max: (a, b) => Math.max(a, b),
    exp: (a) => Math.exp(a),
    log: (a) => Math.log(a),
    sqrt: (a) => Math.sqrt(a),
    rsqrt: (a) => 1 / Math.sqrt(a),
    abs: (a) => Math.abs(a),
    sin: (a) => Math.sin(a),
    cos: (a) => Math.cos(a),
    tanh: (a) => Math.tanh(a),
    sigmoid: (a) => sigmoid(a),
    relu: (a) => Math.max(0, a),
    silu: (a) => a * sigmoid(a),
    gelu: (a) => 0.5 * a * (1 + erf(a / Math.SQRT2)),
    gelu_tanh: (a) => 0.5 * a * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (a + 0.044715 * a ** 3))),
    softplus: (a) => Math.log(1 + Math.exp(a)),
    eq: (a, b) => Number(a === b),
    ne: (a, b) => Number(a !== b),
    lt: (a, b) => Number(a < b),
    le: (a, b) => Number(a <= b),
    gt: (a, b) => Number(a > b),
    ge: (a, b) => Number(a >= b),
    and: (a, b) => Number(a !== 0 && b !== 0),
    or: (a, b) => Number(a !== 0 || b !== 0),
    not: (a) => Number(a === 0),
    where: (c, a, b) => (c !== 0 ? a : b),
  };
