// Derivatives of the pointwise operators: the cotangents of their inputs as nodes.
import type { Node } from "../ir/graph.js";
import type { Algebra } from "./algebra.js";

/** The cotangent of x for y = f(x), from the cotangent dy. */
export type Slope = (m: Algebra, dy: Node, x: Node, y: Node) => Node;

/** The cotangents of a and b for y = f(a, b), from the cotangent dy; both have the shape of y. */
export type Slopes = (m: Algebra, dy: Node, a: Node, b: Node, y: Node) => readonly [Node, Node];

export const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);
const INVERSE_SQRT_2_PI = 1 / Math.sqrt(2 * Math.PI);

/** The chosen operand gets dy; equal operands get half of dy each, as in PyTorch. */
const ofExtremum =
  (chosen: "lt" | "gt"): Slopes =>
  (m, dy, a, b) => {
    const half = m.where(m.eq(a, b), m.mul(dy, 0.5), 0);
    return [m.where(m[chosen](a, b), dy, half), m.where(m[chosen](b, a), dy, half)];
  };

const binary = {
  add: (_m, dy) => [dy, dy],
  sub: (m, dy) => [dy, m.neg(dy)],
  // da = dy·b, db = dy·a
  mul: (m, dy, a, b) => [m.mul(dy, b), m.mul(dy, a)],
  // da = dy/b, db = −dy·y/b
  div: (m, dy, _a, b, y) => [m.div(dy, b), m.neg(m.mul(dy, m.div(y, b)))],
  // da = dy·b·a^(b − 1), 0 if b is 0; db = dy·y·log a, 0 if a is not positive
  pow: (m, dy, a, b, y) => [
    m.where(m.eq(b, 0), 0, m.mul(dy, b, m.pow(a, m.sub(b, 1)))),
    m.where(m.gt(a, 0), m.mul(dy, y, m.log(m.where(m.gt(a, 0), a, 1))), 0),
  ],
  min: ofExtremum("lt"),
  max: ofExtremum("gt"),
} satisfies Readonly<Record<string, Slopes>>;

const unary = {
  neg: (m, dy) => m.neg(dy),
  exp: (m, dy, _x, y) => m.mul(dy, y),
  log: (m, dy, x) => m.div(dy, x),
  // dx = dy / 2y
  sqrt: (m, dy, _x, y) => m.div(m.mul(dy, 0.5), y),
  // dx = −dy·y³ / 2
  rsqrt: (m, dy, _x, y) => m.mul(dy, -0.5, m.powi(y, 3)),
  abs: (m, dy, x) => m.where(m.gt(x, 0), dy, m.where(m.lt(x, 0), m.neg(dy), 0)),
  sin: (m, dy, x) => m.mul(dy, m.cos(x)),
  cos: (m, dy, x) => m.neg(m.mul(dy, m.sin(x))),
  // dx = dy·(1 − y²)
  tanh: (m, dy, _x, y) => m.mul(dy, m.sub(1, m.mul(y, y))),
  // dx = dy·y·(1 − y)
  sigmoid: (m, dy, _x, y) => m.mul(dy, y, m.sub(1, y)),
  relu: (m, dy, x) => m.where(m.gt(x, 0), dy, 0),
  // dx = dy·s·(1 + x·(1 − s)) with s = sigmoid(x)
  silu: (m, dy, x) => {
    const s = m.sigmoid(x);
    return m.mul(dy, s, m.add(1, m.mul(x, m.sub(1, s))));
  },
  // dx = dy·(Φ(x) + x·φ(x)) with Φ(x) = y/x, and 1/2 + x·φ(0) near 0, where the next term is below 2^−60
  gelu: (m, dy, x, y) => {
    const small = m.lt(m.abs(x), 2 ** -20);
    const distribution = m.where(small, m.add(m.mul(x, INVERSE_SQRT_2_PI), 0.5), m.div(y, m.where(small, 1, x)));
    return m.mul(dy, m.add(distribution, m.mul(x, INVERSE_SQRT_2_PI, m.exp(m.mul(x, x, -0.5)))));
  },
  // dx = dy·(1 + t + x·(1 − t²)·√(2/π)·(1 + 3 · 0.044715 x²)) / 2 with t = tanh(√(2/π) · (x + 0.044715 x³))
  gelu_tanh: (m, dy, x) => {
    const square = m.mul(x, x);
    const t = m.tanh(m.mul(x, SQRT_2_OVER_PI, m.add(1, m.mul(square, 0.044715))));
    const inner = m.mul(x, SQRT_2_OVER_PI, m.add(1, m.mul(square, 3 * 0.044715)));
    return m.mul(dy, 0.5, m.add(m.add(1, t), m.mul(m.sub(1, m.mul(t, t)), inner)));
  },
  softplus: (m, dy, x) => m.mul(dy, m.sigmoid(x)),
} satisfies Readonly<Record<string, Slope>>;

/** The derivatives by operator. */
export const slopes = { ...binary, ...unary };
