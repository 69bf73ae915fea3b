// The forms that samples of pointwise operators take: worked by hand, and random in several shapes and dtypes.
import type { Node } from "../../../src/compiler/ir/graph.js";
import type { PlainPointwiseOp } from "../../../src/compiler/ir/vocabulary.js";
import type { DType } from "../../../src/ground/base/dtype.js";
import type { Bench, Random } from "./bench.js";
import type { Sample } from "./samples.js";

/** How random values are drawn. */
export type Values = (random: Random) => number;
type Plain = PlainPointwiseOp;

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

/** In odd and prime sizes, a scalar, one element, f16, and rows of unequal lengths. */
export function unary<K extends Plain>(
  op: K,
  values: Values,
  worked: readonly (readonly [x: number, y: number])[],
  more: readonly Sample<K>[] = [],
): readonly Sample<K>[] {
  const on = (b: Bench, x: Node): Node<K> => b.node(op, [x], {}); // plain operators have no attributes
  return [
    {
      name: "worked by hand",
      build: (b) =>
        on(
          b,
          b.data(
            "f32",
            [worked.length],
            worked.map(([x]) => x),
          ),
        ),
      expected: [worked.map(([, y]) => y)],
    },
    { name: "a scalar", build: (b) => on(b, b.data("f32", [], values)) },
    { name: "[7, 13]", build: (b) => on(b, b.data("f32", [7, 13], values)) },
    { name: "f16", build: (b) => on(b, b.data("f16", [17], values)) },
    {
      name: "rows of unequal lengths",
      setting: { batch: 7, tokens: 5, lengths: [5, 0, 3, 1, 5, 2, 4] },
      build: (b) => on(b, b.rows([], [3], "f32", values)),
    },
    ...more,
  ];
}

interface BinaryOptions<K extends Plain> {
  readonly dtypes: readonly DType[];
  readonly worked: readonly {
    readonly dtype: DType;
    readonly cases: readonly (readonly [a: number, b: number, y: number])[];
  }[];
  readonly left?: Values;
  readonly right?: Values;
  readonly more?: readonly Sample<K>[];
}

export function binary<K extends Plain>(
  op: K,
  { dtypes, worked, left, right, more = [] }: BinaryOptions<K>,
): readonly Sample<K>[] {
  const on = (b: Bench, x: Node, y: Node): Node<K> => b.node(op, [x, y], {}); // plain operators have no attributes
  return [
    ...worked.map(({ dtype, cases }): Sample<K> => ({
      name: `worked by hand, ${dtype}`,
      build: (b) =>
        on(
          b,
          b.data(
            dtype,
            [cases.length],
            cases.map(([x]) => x),
          ),
          b.data(
            dtype,
            [cases.length],
            cases.map(([, y]) => y),
          ),
        ),
      expected: [cases.map(([, , y]) => y)],
    })),
    ...dtypes.flatMap((dtype): Sample<K>[] => {
      const of = (b: Bench, shape: readonly number[], values: Values | undefined): Node =>
        b.data(dtype, shape, dtype === "bool" ? undefined : values);
      return [
        { name: `[5, 3] and [5, 3], ${dtype}`, build: (b) => on(b, of(b, [5, 3], left), of(b, [5, 3], right)) },
        { name: `[5, 1, 3] and [11, 1], ${dtype}`, build: (b) => on(b, of(b, [5, 1, 3], left), of(b, [11, 1], right)) },
        { name: `a scalar and [7], ${dtype}`, build: (b) => on(b, of(b, [], left), of(b, [7], right)) },
      ];
    }),
    {
      name: "rows and one row, unequal lengths",
      setting: { batch: 3, tokens: 7, lengths: [2, 7, 0] },
      build: (b) => on(b, b.rows([], [5], dtypes[0], left), b.data(dtypes[0]!, [5], right)),
    },
    ...more,
  ];
}

export const NUMBERS: readonly DType[] = ["f32", "f16", "u32", "i32"];
export const normal: Values = (r) => r.normal();
export const wide: Values = (r) => r.uniform(-30, 30);
export const positive: Values = (r) => r.uniform(0.01, 9);
/** Few distinct values, so that equal values meet. */
const few: Values = (r) => r.below(4);

export const comparisons = <K extends "eq" | "ne" | "lt" | "le" | "gt" | "ge">(
  op: K,
  holds: (a: number, b: number) => boolean,
) => {
  const pairs = [
    [1, 2],
    [2, 1],
    [2, 2],
    [0, -0],
    [nan, 1],
    [1, nan],
    [nan, nan],
    [inf, inf],
    [-inf, inf],
    [inf, nan],
    [3, -inf],
  ] as const;
  return binary(op, {
    dtypes: op === "eq" || op === "ne" ? [...NUMBERS, "bool"] : NUMBERS,
    worked: [
      { dtype: "f32", cases: pairs.map(([a, b]) => [a, b, Number(holds(a, b))] as const) },
      {
        dtype: "u32",
        cases: (
          [
            [1, 0xffffffff],
            [0xffffffff, 1],
            [7, 7],
          ] as const
        ).map(([a, b]) => [a, b, Number(holds(a, b))] as const),
      },
      {
        dtype: "i32",
        cases: (
          [
            [-1, 1],
            [1, -1],
            [-7, -7],
          ] as const
        ).map(([a, b]) => [a, b, Number(holds(a, b))] as const),
      },
    ],
    left: few,
    right: (r) => (r.below(2) === 0 ? r.below(4) : r.below(2)),
  });
};

export const logic = <K extends "and" | "or">(op: K, cases: readonly (readonly [number, number, number])[]) =>
  binary(op, { dtypes: ["bool"], worked: [{ dtype: "bool", cases }] });

export const cast = (from: DType, to: DType, pairs: readonly (readonly [number, number])[]): Sample<"cast"> => ({
  name: `${from} to ${to}`,
  build: (b) =>
    b.node(
      "cast",
      [
        b.data(
          from,
          [pairs.length],
          pairs.map(([x]) => x),
        ),
      ],
      { dtype: to },
    ),
  expected: [pairs.map(([, y]) => y)],
});

export const powi = (
  exponent: number,
  dtype: DType,
  pairs: readonly (readonly [number, number])[],
): readonly Sample<"powi">[] => [
  {
    name: `to the ${exponent}, ${dtype}`,
    build: (b) =>
      b.node(
        "powi",
        [
          b.data(
            dtype,
            [pairs.length],
            pairs.map(([x]) => x),
          ),
        ],
        { exponent },
      ),
    expected: [pairs.map(([, y]) => y)],
  },
];

export const reduced = (
  to: "bf16" | "f16",
  pairs: readonly (readonly [number, number])[],
): readonly Sample<"reduce_precision">[] => [
  {
    name: `to ${to}`,
    build: (b) =>
      b.node(
        "reduce_precision",
        [
          b.data(
            "f32",
            [pairs.length],
            pairs.map(([x]) => x),
          ),
        ],
        { to },
      ),
    expected: [pairs.map(([, y]) => y)],
  },
  {
    name: `random values to ${to}`,
    build: (b) => b.node("reduce_precision", [b.data("f32", [64], wide)], { to }),
  },
];

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
export const same = (f: (x: number) => number, ...xs: readonly number[]) => xs.map((x) => [x, f(x)] as const);
