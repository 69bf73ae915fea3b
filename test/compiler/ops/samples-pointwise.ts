// Samples of the pointwise operators; casts and comparisons have files of their own.
import type { PointwiseOp } from "../../../src/compiler/ir/vocabulary.js";
import { binary, normal, NUMBERS, positive, powi, reduced, same, sigmoid, unary, wide } from "./pointwise-forms.js";
import type { comparisonSamples } from "./samples-comparisons.js";
import type { Samples } from "./samples.js";
import { divided, exact, exponential, logarithmic, rounded, within } from "./tolerance.js";

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

export const pointwiseSamples: Samples<Exclude<PointwiseOp, "cast" | keyof typeof comparisonSamples>> = {
  add: within(
    rounded,
    binary("add", {
      dtypes: NUMBERS,
      worked: [
        {
          dtype: "f32",
          cases: [
            [1.5, 2, 3.5],
            [-1, 1, 0],
          ],
        },
        {
          dtype: "f16",
          cases: [
            [2048, 1, 2048],
            [2048, 3, 2052],
            [65504, 16, inf],
            [0.5, 0.25, 0.75],
          ],
        },
        {
          dtype: "u32",
          cases: [
            [0xffffffff, 2, 1],
            [3, 4, 7],
          ],
        },
        {
          dtype: "i32",
          cases: [
            [0x7fffffff, 1, -0x80000000],
            [-3, 1, -2],
          ],
        },
      ],
    }),
  ),
  sub: within(
    rounded,
    binary("sub", {
      dtypes: NUMBERS,
      worked: [
        { dtype: "f32", cases: [[1.5, 2, -0.5]] },
        { dtype: "u32", cases: [[1, 2, 0xffffffff]] },
        { dtype: "i32", cases: [[-0x80000000, 1, 0x7fffffff]] },
      ],
    }),
  ),
  mul: within(
    rounded,
    binary("mul", {
      dtypes: NUMBERS,
      worked: [
        { dtype: "f32", cases: [[1.5, -2, -3]] },
        {
          dtype: "u32",
          cases: [
            [0xffffffff, 0xffffffff, 1],
            [65537, 65537, 131073],
          ],
        },
        {
          dtype: "i32",
          cases: [
            [-3, 5, -15],
            [0x7fffffff, 2, -2],
          ],
        },
      ],
    }),
  ),
  div: within(
    divided,
    binary("div", {
      dtypes: NUMBERS,
      worked: [
        { dtype: "f32", cases: [[3, 2, 1.5]] },
        {
          dtype: "u32",
          cases: [
            [7, 2, 3],
            [5, 0, 5],
            [0xffffffff, 3, 0x55555555],
          ],
        },
        {
          dtype: "i32",
          cases: [
            [-7, 2, -3],
            [7, -2, -3],
            [-5, 0, -5],
            [-0x80000000, -1, -0x80000000],
          ],
        },
      ],
      right: (r) => (r.below(2) ? 1 : -1) * (1 + r.below(9)),
    }),
  ),
  pow: within(
    {
      relative: 5e-6,
      absolute: 1e-6,
      why: "WGSL's pow inherits the error of exp2(y · log2 x), which grows with the exponent",
    },
    binary("pow", {
      dtypes: ["f32", "f16"],
      worked: [
        {
          dtype: "f32",
          cases: [
            [2, 10, 1024],
            [2, -1, 0.5],
            [-2, 3, -8],
            [-2, 2, 4],
            [0, 0, 1],
            [9, 0.5, 3],
            [-3, 0, 1],
            [0, 2, 0],
            [1, 7.5, 1],
          ],
        },
      ],
      left: positive,
      right: (r) => r.uniform(-2, 2),
    }),
  ),
  min: within(
    exact,
    binary("min", {
      dtypes: NUMBERS,
      worked: [
        {
          dtype: "f32",
          cases: [
            [1, 2, 1],
            [nan, 1, nan],
            [1, nan, nan],
            [-inf, inf, -inf],
            [inf, nan, nan],
          ],
        },
        { dtype: "u32", cases: [[0xffffffff, 1, 1]] },
        { dtype: "i32", cases: [[-1, 1, -1]] },
      ],
    }),
  ),
  max: within(
    exact,
    binary("max", {
      dtypes: NUMBERS,
      worked: [
        {
          dtype: "f32",
          cases: [
            [1, 2, 2],
            [nan, 1, nan],
            [1, nan, nan],
            [-inf, inf, inf],
            [-inf, nan, nan],
          ],
        },
        { dtype: "u32", cases: [[0xffffffff, 1, 0xffffffff]] },
        { dtype: "i32", cases: [[-1, 1, 1]] },
      ],
    }),
  ),
  neg: within(
    exact,
    unary(
      "neg",
      normal,
      [
        [1.5, -1.5],
        [-2, 2],
        [inf, -inf],
      ],
      [
        {
          name: "u32 wraps",
          build: (b) => b.node("neg", [b.data("u32", [3], [1, 0, 0xffffffff])], {}),
          expected: [[0xffffffff, 0, 1]],
        },
        {
          name: "i32",
          build: (b) => b.node("neg", [b.data("i32", [3], [1, -7, -0x80000000])], {}),
          expected: [[-1, 7, -0x80000000]],
        },
      ],
    ),
  ),
  exp: within(
    { relative: 4e-6, absolute: 1e-30, why: "3 + 2|x| units of the last place in WGSL, for |x| up to 30" },
    unary("exp", (r) => r.uniform(-8, 8), [
      [0, 1],
      [1, Math.E],
      [-1, 1 / Math.E],
    ]),
  ),
  log: within(
    logarithmic,
    unary("log", positive, [
      [1, 0],
      [Math.fround(Math.E), Math.log(Math.fround(Math.E))],
      [0.5, -Math.LN2],
    ]),
  ),
  sqrt: within(
    divided,
    unary("sqrt", positive, [
      [0, 0],
      [4, 2],
      [2.25, 1.5],
    ]),
  ),
  rsqrt: within(
    divided,
    unary("rsqrt", positive, [
      [4, 0.5],
      [0.25, 2],
      [1, 1],
    ]),
  ),
  abs: within(
    exact,
    unary(
      "abs",
      normal,
      [
        [-1.5, 1.5],
        [2, 2],
        [-inf, inf],
      ],
      [
        {
          name: "i32",
          build: (b) => b.node("abs", [b.data("i32", [3], [-7, 7, -0x80000000])], {}),
          expected: [[7, 7, -0x80000000]],
        },
        {
          name: "u32",
          build: (b) => b.node("abs", [b.data("u32", [2], [7, 0xffffffff])], {}),
          expected: [[7, 0xffffffff]],
        },
      ],
    ),
  ),
  sin: within(
    { relative: 1e-6, absolute: 5e-7, why: "own polynomials on arguments reduced in three parts" },
    unary("sin", wide, [[0, 0], ...same(Math.sin, 1, -2.5, 30, 1000)]),
  ),
  cos: within(
    { relative: 1e-6, absolute: 5e-7, why: "own polynomials on arguments reduced in three parts" },
    unary("cos", wide, [[0, 1], ...same(Math.cos, 1, -2.5, 30, 1000)]),
  ),
  tanh: within(
    exponential,
    unary("tanh", (r) => r.uniform(-4, 4), [
      [0, 0],
      ...same(Math.tanh, 0.5, -0.75),
      [100, 1],
      [-1e30, -1],
      [inf, 1],
      [-inf, -1],
    ]),
  ),
  sigmoid: within(exponential, unary("sigmoid", wide, [[0, 0.5], [100, 1], [-1e30, 0], ...same(sigmoid, 2, -3)])),
  relu: within(
    exact,
    unary("relu", normal, [
      [1.5, 1.5],
      [-2, 0],
      [0, 0],
      [nan, nan],
      [inf, inf],
      [-inf, 0],
    ]),
  ),
  silu: within(
    exponential,
    unary("silu", wide, [[0, 0], [1e4, 1e4], [-1e30, 0], ...same((x) => x * sigmoid(x), 1, -1.25)]),
  ),
  // Φ(1) = 0.8413447460685429, Φ(−2) = 0.02275013194817921, Φ(3) = 0.9986501019683699 (tables of the normal
  // distribution)
  gelu: within(
    { relative: 3e-6, absolute: 3e-7, why: "the approximation of erfc is good to 1.5e-7" },
    unary("gelu", (r) => r.uniform(-5, 5), [
      [0, 0],
      [1, 0.8413447460685429],
      [-2, -2 * 0.02275013194817921],
      [3, 3 * 0.9986501019683699],
      [1e4, 1e4],
      [-1e4, 0],
    ]),
  ),
  gelu_tanh: within(
    exponential,
    unary("gelu_tanh", (r) => r.uniform(-5, 5), [
      [0, 0],
      [1, 0.5 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * 1.044715))],
      [-2, -(1 + Math.tanh(-Math.sqrt(2 / Math.PI) * (2 + 0.044715 * 8)))],
      [1e4, 1e4],
      [-1e4, 0],
    ]),
  ),
  softplus: within(
    logarithmic,
    unary("softplus", wide, [
      [0, Math.LN2],
      [100, 100],
      [-1000, 0],
      [2 ** 100, 2 ** 100],
      [1, Math.log(1 + Math.E)],
    ]),
  ),
  floor: within(
    exact,
    unary("floor", normal, [
      [1.5, 1],
      [-1.5, -2],
      [-0.25, -1],
      [3, 3],
      [2 ** 30, 2 ** 30],
      [inf, inf],
      [nan, nan],
    ]),
  ),
  powi: within({ relative: 2e-6, absolute: 1e-37, why: "a rounding for each multiplication" }, [
    ...powi(0, "f32", [
      [3, 1],
      [0, 1],
    ]),
    ...powi(1, "f32", [[-3.5, -3.5]]),
    ...powi(2, "f32", [
      [-3, 9],
      [0.5, 0.25],
    ]),
    ...powi(3, "f32", [[-2, -8]]),
    ...powi(5, "f16", [
      [2, 32],
      [-1.5, -7.59375],
      [12, inf],
    ]),
    ...powi(-2, "f32", [
      [2, 0.25],
      [-4, 0.0625],
    ]),
    ...powi(31, "u32", [
      [2, 0x80000000],
      [3, 617673396283947 % 2 ** 32],
    ]),
    ...powi(2, "i32", [
      [-5, 25],
      [65537, 131073],
    ]),
    ...powi(3, "i32", [
      [-5, -125],
      [65536, 0],
    ]),
    ...powi(2, "u32", [[65537, 131073]]),
    {
      name: "rows of unequal lengths",
      setting: { batch: 2, tokens: 3, lengths: [3, 1] },
      build: (b) => b.node("powi", [b.rows([], [5])], { exponent: 4 }),
    },
  ]),
  reduce_precision: within(exact, [
    ...reduced("bf16", [
      [1 + 2 ** -8, 1], // ties go to even
      [1 + 3 * 2 ** -8, 1 + 2 ** -6],
      [-(1 + 2 ** -8 + 2 ** -20), -(1 + 2 ** -7)],
      [65504, 65536],
      [2 ** 127 * (2 - 2 ** -9), inf], // carries into the exponent
      [-inf, -inf],
      [nan, nan],
      [0, 0],
    ]),
    ...reduced("f16", [
      [1 + 2 ** -11, 1],
      [1 + 3 * 2 ** -11, 1 + 2 ** -9],
      [65519, 65504],
      [-65520, -inf],
      [2 ** -24 * 1.5, 2 ** -23], // below the least normal number
      [2 ** -25, 0],
      [2 ** -14 - 2 ** -26, 2 ** -14],
      [nan, nan],
      [inf, inf],
    ]),
  ]),
};
