// Pointwise operators: each element of the result is a function of the elements of the inputs that broadcasting pairs.
//
// Integers wrap. Integer division truncates, and division by zero returns the dividend, as in WGSL. NaN compares as in
// IEEE 754 (only `ne` is true); `min`, `max` and `relu` propagate it, as in PyTorch. Casts of floats to integers
// truncate and clamp to the range; NaN becomes 0; a float is true unless it is ±0.
import { multiplySizes } from "../../ground/size/size.js";
import { isFloat, type DType } from "../../ground/base/dtype.js";
import { typeOf } from "../ir/graph.js";
import type { PointwiseOp } from "../ir/vocabulary.js";
import type { OpTable } from "./define.js";
import { algebra, unbroadcast } from "./algebra.js";
import {
  broadcastShapes,
  costPerResult,
  elements,
  expectDtype,
  FLOATS,
  mismatch,
  NUMBERS,
  sameDtype,
} from "./shapes.js";
import {
  map,
  ELEMENTWISE,
  rounded,
  unary,
  floats,
  binary,
  comparison,
  arithmetic,
  cheap,
  exact,
  linear,
} from "./pointwise-kinds.js";
import { slopes, SQRT_2_OVER_PI } from "./slopes.js";
import { at, REDUCING } from "./tensors.js";
import { wgslType } from "./wgsl.js";

const ANY = [...NUMBERS, "bool"] as const;

const divide = (a: number, b: number, dtype: DType): number =>
  isFloat(dtype) ? a / b : b === 0 ? a : Math.trunc(a / b);
const multiply = (a: number, b: number, dtype: DType): number => (isFloat(dtype) ? a * b : Math.imul(a, b));
const sigmoid = (x: number): number => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));

function power(x: number, exponent: number, dtype: DType): number {
  const times = (a: number, b: number): number => multiply(a, b, dtype);
  let result = 1;
  let square = x;
  for (let n = Math.abs(exponent); n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) result = times(result, square);
    square = times(square, square);
  }
  return exponent < 0 ? 1 / result : result;
}

function powerWgsl(x: string, exponent: number, dtype: DType): string {
  const n = Math.abs(exponent);
  const positive =
    n === 1 ? x : n === 2 ? `modc_square_${wgslType(dtype)}(${x})` : `modc_powi_${wgslType(dtype)}(${x}, ${n}u)`;
  return exponent < 0 ? `(1.0 / ${positive})` : positive;
}

const WHOLE: Readonly<Record<"u32" | "i32", { readonly low: number; readonly high: number }>> = {
  u32: { low: 0, high: 0xffffffff },
  i32: { low: -0x80000000, high: 0x7fffffff },
};

function castValue(x: number, from: DType, to: DType): number {
  if (to === "bool") return Number(x !== 0);
  if (!isFloat(to) && isFloat(from)) {
    const { low, high } = WHOLE[to as "u32" | "i32"]; // bool and floats are handled above
    return Number.isNaN(x) ? 0 : Math.min(high, Math.max(low, Math.trunc(x)));
  }
  return x;
}

function castWgsl(x: string, from: DType, to: DType): string {
  const [source, target] = [wgslType(from), wgslType(to)];
  if (source === target) return x;
  if (source === "f32") return target === "bool" ? `modc_truth(${x})` : `modc_${target}(${x})`;
  return `${target}(${x})`;
}

/** Records of the pointwise family. */
export const pointwise: Pick<OpTable, PointwiseOp> = {
  add: cheap(exact(arithmetic("a + b", "+", (a, b) => a + b, slopes.add))),
  sub: cheap(exact(arithmetic("a − b", "-", (a, b) => a - b, slopes.sub))),
  mul: linear(cheap(arithmetic("a · b", "*", multiply, slopes.mul))),
  div: linear(arithmetic("a / b", "/", divide, slopes.div), (input) => input === 0),
  pow: binary({
    doc: "a to the power b, as IEEE's pow",
    dtypes: FLOATS,
    f: (a, b) => (a === 1 ? 1 : a ** b),
    wgsl: (a, b) => `modc_pow(${a}, ${b})`,
    grad: slopes.pow,
  }),
  min: cheap(
    exact(
      binary({
        doc: "the lesser",
        dtypes: NUMBERS,
        f: (a, b) => Math.min(a, b),
        wgsl: (a, b, t) => `${isFloat(t) ? "modc_min" : "min"}(${a}, ${b})`,
        grad: slopes.min,
      }),
    ),
  ),
  max: cheap(
    exact(
      binary({
        doc: "the greater",
        dtypes: NUMBERS,
        f: (a, b) => Math.max(a, b),
        wgsl: (a, b, t) => `${isFloat(t) ? "modc_max" : "max"}(${a}, ${b})`,
        grad: slopes.max,
      }),
    ),
  ),
  neg: linear(
    cheap(
      exact(
        unary({
          doc: "−x",
          dtypes: NUMBERS,
          f: (x) => -x,
          wgsl: (x, t) => (t === "u32" ? `(0u - ${x})` : `(-${x})`),
          grad: slopes.neg,
        }),
      ),
    ),
  ),
  exp: floats("e^x", Math.exp, (x) => `exp(${x})`, slopes.exp),
  log: floats("natural logarithm", Math.log, (x) => `log(${x})`, slopes.log),
  sqrt: floats("√x", Math.sqrt, (x) => `sqrt(${x})`, slopes.sqrt),
  rsqrt: floats(
    "1/√x",
    (x) => 1 / Math.sqrt(x),
    (x) => `inverseSqrt(${x})`,
    slopes.rsqrt,
  ),
  abs: cheap(
    exact(
      unary({
        doc: "|x|",
        dtypes: NUMBERS,
        f: Math.abs,
        wgsl: (x) => `abs(${x})`,
        grad: slopes.abs,
      }),
    ),
  ),
  sin: floats("sine of radians", Math.sin, (x) => `modc_sin(${x})`, slopes.sin),
  cos: floats("cosine of radians", Math.cos, (x) => `modc_cos(${x})`, slopes.cos),
  tanh: floats("hyperbolic tangent", Math.tanh, (x) => `modc_tanh(${x})`, slopes.tanh),
  sigmoid: floats("1 / (1 + e^−x)", sigmoid, (x) => `modc_sigmoid(${x})`, slopes.sigmoid),
  relu: cheap(
    floats(
      "max(x, 0)",
      (x) => (x < 0 ? 0 : x),
      (x) => `modc_relu(${x})`,
      slopes.relu,
    ),
  ),
  silu: floats(
    "x · sigmoid(x)",
    (x) => x * sigmoid(x),
    (x) => `modc_silu(${x})`,
    slopes.silu,
  ),
  gelu: floats(
    "x · Φ(x), exact",
    (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
    (x) => `modc_gelu(${x})`,
    slopes.gelu,
  ),
  gelu_tanh: floats(
    "x · (1 + tanh(√(2/π) · (x + 0.044715 x³))) / 2",
    (x) => 0.5 * x * (1 + Math.tanh(SQRT_2_OVER_PI * (x + 0.044715 * x ** 3))),
    (x) => `modc_gelu_tanh(${x})`,
    slopes.gelu_tanh,
  ),
  softplus: floats(
    "log(1 + e^x)",
    (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
    (x) => `modc_softplus(${x})`,
    slopes.softplus,
  ),
  floor: cheap(
    exact(
      unary({
        doc: "the greatest whole number ≤ x",
        dtypes: FLOATS,
        f: Math.floor,
        wgsl: (x) => `floor(${x})`,
        grad: null,
      }),
    ),
  ),
  powi: {
    doc: "x to a whole power, by squaring and multiplying",
    infer(inputs, { exponent }) {
      if (!Number.isInteger(exponent) || Math.abs(exponent) > 0x7fffffff)
        mismatch(`the exponent must be a whole number of 32 bits, found ${exponent}`);
      return [expectDtype(inputs, 0, ...(exponent < 0 ? FLOATS : NUMBERS))];
    },
    cost: (inputs, { exponent }) => {
      const n = Math.abs(exponent);
      const multiplications = n === 0 ? 0 : Math.floor(Math.log2(n)) + n.toString(2).replaceAll("0", "").length - 1;
      return {
        ...costPerResult(0)(inputs, null, inputs),
        flops: multiplySizes(multiplications + Number(exponent < 0), elements(inputs[0]!)),
      };
    },
    ...ELEMENTWISE,
    evaluate(inputs, { exponent }) {
      const x = at(inputs, 0);
      return [map(x.dtype, [x], (v) => power(v, exponent, x.dtype))];
    },
    // dx = dy·n·x^(n − 1)
    grad: (emit, { inputs: [x], attrs: { exponent: n } }, [dy]) => {
      const m = algebra(emit, dy!);
      return [n === 0 ? null : n === 1 ? dy! : m.mul(dy!, n, n === 2 ? x : m.powi(x, n - 1))];
    },
    lower: {
      kind: "pointwise",
      cheap: true,
      wgsl: ([x], { exponent }, [type]) => rounded(type!.dtype, powerWgsl(x!, exponent, type!.dtype)),
    },
  },
  eq: comparison(
    "a = b",
    (a, b) => a === b,
    "==",
    (a, b) => `modc_eq(${a}, ${b})`,
    ANY,
  ),
  ne: comparison(
    "a ≠ b",
    (a, b) => a !== b,
    "!=",
    (a, b) => `!modc_eq(${a}, ${b})`,
    ANY,
  ),
  lt: comparison(
    "a < b",
    (a, b) => a < b,
    "<",
    (a, b) => `modc_lt(${a}, ${b})`,
  ),
  le: comparison(
    "a ≤ b",
    (a, b) => a <= b,
    "<=",
    (a, b) => `modc_le(${a}, ${b})`,
  ),
  gt: comparison(
    "a > b",
    (a, b) => a > b,
    ">",
    (a, b) => `modc_lt(${b}, ${a})`,
  ),
  ge: comparison(
    "a ≥ b",
    (a, b) => a >= b,
    ">=",
    (a, b) => `modc_le(${b}, ${a})`,
  ),
  and: binary({ doc: "both", dtypes: ["bool"], f: (a, b) => a & b, wgsl: (a, b) => `(${a} && ${b})`, grad: null }),
  or: binary({ doc: "either", dtypes: ["bool"], f: (a, b) => a | b, wgsl: (a, b) => `(${a} || ${b})`, grad: null }),
  not: unary({ doc: "the opposite", dtypes: ["bool"], f: (x) => 1 - x, wgsl: (x) => `(!${x})`, grad: null }),
  where: {
    doc: "a where the condition holds, else b",
    infer(inputs) {
      const condition = expectDtype(inputs, 0, "bool");
      const [a, b] = [expectDtype(inputs, 1, ...ANY), expectDtype(inputs, 2, ...ANY)];
      return [{ dtype: sameDtype(a, b), shape: broadcastShapes([condition.shape, a.shape, b.shape]) }];
    },
    cost: costPerResult(0),
    ...ELEMENTWISE,
    evaluate: (inputs) => [map(at(inputs, 1).dtype, inputs, (c, a, b) => (c !== 0 ? a : b))],
    grad(emit, node, [dy]) {
      const [condition, a, b] = node.inputs;
      const m = algebra(emit, node);
      return [
        null,
        unbroadcast(emit, m.where(condition, dy!, 0), typeOf(a)),
        unbroadcast(emit, m.where(condition, 0, dy!), typeOf(b)),
      ];
    },
    linear: (input) => input > 0,
    lower: { kind: "pointwise", cheap: true, exact: true, wgsl: ([c, a, b]) => `select(${b!}, ${a!}, ${c!})` },
  },
  cast: {
    doc: "the same values in another dtype",
    infer(inputs, { dtype }) {
      return [{ dtype, shape: expectDtype(inputs, 0, ...ANY).shape }];
    },
    cost: costPerResult(0),
    ...ELEMENTWISE,
    evaluate(inputs, { dtype }) {
      const x = at(inputs, 0);
      return [map(dtype, [x], (v) => castValue(v, x.dtype, dtype))];
    },
    grad: (emit, { inputs: [x] }, [dy]) => [emit("cast", [dy!], { dtype: typeOf(x).dtype })],
    linear: () => true,
    lower: {
      kind: "pointwise",
      cheap: true,
      exact: true,
      wgsl: ([x], { dtype }, [type]) => (type!.dtype === dtype ? x! : rounded(dtype, castWgsl(x!, type!.dtype, dtype))),
    },
  },
  reduce_precision: {
    doc: "the nearest value of a type with fewer digits",
    infer: (inputs) => [expectDtype(inputs, 0, "f32")],
    cost: costPerResult(0),
    ...ELEMENTWISE,
    evaluate: (inputs, { to }) => [map("f32", [at(inputs, 0)], REDUCING[to])],
    // Products are differentiated before their operands are rounded.
    grad: null,
    lower: { kind: "pointwise", cheap: true, exact: true, wgsl: ([x], { to }) => `modc_${to}(${x!})` },
  },
};

const TWO_OVER_SQRT_PI = 2 / Math.sqrt(Math.PI);

/** erf(x) = 2/√π · ∫₀ˣ e^−t² dt, accurate to a few units in the last place. */
export function erf(x: number): number {
  const a = Math.abs(x);
  if (Number.isNaN(a)) return x;
  const value = a < 2.5 ? series(a) : a > 6 ? 1 : 1 - continuedFraction(a);
  return x < 0 ? -value : value;
}

/** erf(x) = 2/√π · e^−x² · Σ 2ⁿ x^(2n+1) / (2n+1)!!; every term is positive (DLMF 7.6.2). */
function series(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return TWO_OVER_SQRT_PI * Math.exp(-x * x) * sum;
}

/** erfc(x) = e^−x²/√π · 1/(x + (1/2)/(x + (2/2)/(x + (3/2)/(x + …)))) (DLMF 7.9.1), from the innermost outwards. */
function continuedFraction(x: number): number {
  let f = x;
  for (let n = 80; n >= 1; n--) f = x + n / 2 / f;
  return Math.exp(-x * x) / (Math.sqrt(Math.PI) * f);
}
