// Samples of reductions, softmax and products.
import type { Node } from "../../../src/compiler/ir/graph.js";
import { expectOp, type Bench } from "./bench.js";
import type { Sample, Samples } from "./samples.js";
import { exact, product, softened, summed, within } from "./tolerance.js";

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

const UNEQUAL = { batch: 3, tokens: 5, lengths: [2, 5, 0] } as const;
const SEVEN = { batch: 7, tokens: 3, lengths: [3, 1, 0, 2, 3, 3, 1] } as const;

type Reduction = "sum" | "reduce_max" | "reduce_min";

const reductions = <K extends Reduction>(
  op: K,
  worked: readonly (readonly [x: readonly number[], y: number])[],
  whole: readonly [x: readonly number[], y: number],
): readonly Sample<K>[] => {
  const reduce = (b: Bench, x: Node, axes: readonly number[], keep: boolean): Node<K> =>
    expectOp(op, b.node<Reduction>(op, [x], { axes, keep }));
  const over = (b: Bench, shape: readonly number[], axes: readonly number[], keep: boolean): Node<K> =>
    reduce(b, b.data("f32", shape), axes, keep);
  return [
    ...worked.map(([x, y], i): Sample<K> => ({
      name: `worked by hand ${i}`,
      build: (b) => reduce(b, b.data("f32", [x.length], x), [0], false),
      expected: [[y]],
    })),
    {
      name: "u32",
      expected: [[whole[1]]],
      build: (b) => reduce(b, b.data("u32", [whole[0].length], whole[0]), [0], false),
    },
    { name: "the last of [5, 257]", build: (b) => over(b, [5, 257], [1], false) },
    { name: "the first of [131, 3], kept", build: (b) => over(b, [131, 3], [0], true) },
    { name: "the outer two of [3, 5, 7]", build: (b) => over(b, [3, 5, 7], [0, 1], false) },
    { name: "the ends of [3, 5, 7], kept", build: (b) => over(b, [3, 5, 7], [0, 2], true) },
    { name: "all of [3, 5, 7]", build: (b) => over(b, [3, 5, 7], [0, 1, 2], false) },
    { name: "none of [7]", build: (b) => over(b, [7], [], false) },
    { name: "a dimension of 1", build: (b) => over(b, [7, 1], [1], false) },
    {
      name: "the width of rows",
      setting: UNEQUAL,
      build: (b) => reduce(b, b.rows([2], [67]), [2], true),
    },
    {
      name: "rows",
      setting: UNEQUAL,
      build: (b) => reduce(b, b.rows([2], [3]), [1], false),
    },
    {
      name: "f16",
      build: (b) => reduce(b, b.data("f16", [3, 17]), [1], false),
    },
    {
      name: "i32",
      build: (b) => reduce(b, b.data("i32", [3, 17]), [1], false),
    },
  ];
};

const argmax = (x: readonly number[], at: number): Sample<"argmax"> => ({
  name: `of ${x.join(", ")}`,
  build: (b) => b.node("argmax", [b.data("f32", [x.length], x)], { axis: 0, keep: false }),
  expected: [[at]],
});

type Family = Reduction | "argmax" | "softmax" | "matmul";

export const reductionSamples: Samples<Family> = {
  sum: within(
    summed,
    reductions(
      "sum",
      [
        [[1, 2, 3.5], 6.5],
        [[5], 5],
      ],
      [[0xffffffff, 3], 2],
    ),
  ),
  reduce_max: within(
    exact,
    reductions(
      "reduce_max",
      [
        [[1, 3.5, 2], 3.5],
        [[1, nan, 2], nan],
        [[-inf, -inf], -inf],
        [[-3, -1, -2], -1],
      ],
      [[3, 0xffffffff, 0], 0xffffffff],
    ),
  ),
  reduce_min: within(
    exact,
    reductions(
      "reduce_min",
      [
        [[1, -3.5, 2], -3.5],
        [[nan, 1], nan],
        [[inf, inf], inf],
        [[3, 1, 2], 1],
      ],
      [[3, 0xffffffff, 1], 1],
    ),
  ),
  argmax: within(exact, [
    argmax([1, 3, 2], 1),
    argmax([3, 1, 3], 0),
    argmax([0, -0, 0], 0),
    argmax([1, nan, 5, nan], 1),
    argmax([-inf, -inf], 0),
    argmax([-inf, inf, inf], 1),
    argmax([5], 0),
    {
      name: "the last of [5, 257]",
      build: (b) => b.node("argmax", [b.data("f32", [5, 257])], { axis: 1, keep: false }),
    },
    {
      name: "the middle of [3, 7, 5], kept",
      build: (b) => b.node("argmax", [b.data("i32", [3, 7, 5], (r) => r.below(4) - 2)], { axis: 1, keep: true }),
    },
    {
      name: "u32",
      build: (b) => b.node("argmax", [b.data("u32", [4], [1, 0xffffffff, 0, 0xffffffff])], { axis: 0, keep: false }),
      expected: [[1]],
    },
    {
      name: "the width of rows",
      setting: UNEQUAL,
      build: (b) => b.node("argmax", [b.rows([], [67], "f16")], { axis: 1, keep: false }),
    },
  ]),
  softmax: within(softened, [
    {
      name: "worked by hand",
      build: (b) => b.node("softmax", [b.data("f32", [2, 2], [0, 0, 1000, 1000 + 0])], { axis: 1 }),
      expected: [[0.5, 0.5, 0.5, 0.5]],
    },
    {
      name: "far apart",
      build: (b) => b.node("softmax", [b.data("f32", [3], [-1e30, 0, -1e30])], { axis: 0 }),
      expected: [[0, 1, 0]],
    },
    { name: "one", build: (b) => b.node("softmax", [b.data("f32", [3, 1])], { axis: 1 }), expected: [[1, 1, 1]] },
    { name: "the last of [5, 257]", build: (b) => b.node("softmax", [b.data("f32", [5, 257])], { axis: 1 }) },
    { name: "the first of [131, 3]", build: (b) => b.node("softmax", [b.data("f32", [131, 3])], { axis: 0 }) },
    {
      name: "the width of rows, f16",
      setting: UNEQUAL,
      build: (b) => b.node("softmax", [b.rows([2], [7], "f16")], { axis: 2 }),
    },
  ]),
  matmul: within(product, [
    {
      name: "worked by hand",
      build: (b) =>
        b.node("matmul", [b.data("f32", [2, 3], [1, 2, 3, 4, 5, 6]), b.data("f32", [3, 2], [1, 0, 0, 1, 2, 3])], {
          transposed: false,
        }),
      expected: [[7, 11, 16, 23]],
    },
    {
      name: "transposed",
      build: (b) =>
        b.node("matmul", [b.data("f32", [2, 3], [1, 2, 3, 4, 5, 6]), b.data("f32", [2, 3], [1, 0, 2, 0, 1, 3])], {
          transposed: true,
        }),
      expected: [[7, 11, 16, 23]],
    },
    {
      name: "rows by a weight",
      setting: UNEQUAL,
      build: (b) => b.node("matmul", [b.rows([], [37]), b.weight("w", "f32", [41, 37])], { transposed: true }),
    },
    {
      name: "rows by a column",
      setting: SEVEN,
      build: (b) => b.node("matmul", [b.rows([], [37]), b.weight("w", "f32", [1, 37])], { transposed: true }),
    },
    {
      name: "one row",
      build: (b) => b.node("matmul", [b.rows([], [67]), b.weight("w", "f32", [67, 131])], { transposed: false }),
    },
    {
      name: "full tiles",
      setting: { batch: 2, tokens: 64 },
      build: (b) => b.node("matmul", [b.rows([], [64]), b.weight("w", "f32", [128, 64])], { transposed: true }),
    },
    {
      name: "1 · 1",
      build: (b) => b.node("matmul", [b.data("f32", [1, 1]), b.data("f32", [1, 1])], { transposed: false }),
    },
    {
      name: "a batch of matrices",
      build: (b) => b.node("matmul", [b.data("f32", [3, 5, 7]), b.data("f32", [3, 7, 2])], { transposed: false }),
    },
    {
      name: "leading dimensions broadcast",
      build: (b) => b.node("matmul", [b.data("f32", [2, 1, 5, 7]), b.data("f32", [3, 11, 7])], { transposed: true }),
    },
    {
      name: "heads of rows by heads of a weight",
      setting: UNEQUAL,
      build: (b) => b.node("matmul", [b.rows([2], [5]), b.weight("w", "f32", [2, 5, 3])], { transposed: false }),
    },
    {
      name: "f16",
      setting: UNEQUAL,
      build: (b) => b.node("matmul", [b.rows([], [19], "f16"), b.weight("w", "f16", [17, 19])], { transposed: true }),
    },
    {
      name: "summed over rows",
      setting: UNEQUAL,
      build: (b) =>
        b.node("matmul", [b.node("permute", [b.rows([], [5])], { order: [1, 0] }), b.rows([], [3])], {
          transposed: false,
        }),
    },
  ]),
};
