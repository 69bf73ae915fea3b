// Samples of operators that only training has: gradients and steps of optimisers.
import type { Node } from "../../../src/compiler/ir/graph.js";
import { applySize, axisSize, multiplySizes, sizeOf } from "../../../src/ground/size/size.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import type { Bench } from "./bench.js";
import type { Sample, Samples } from "./samples.js";
import { summed, within } from "./tolerance.js";

const UNEQUAL = { batch: 3, tokens: 4, lengths: [2, 4, 0] } as const;
const SEVEN = { batch: 7, tokens: 5, lengths: [5, 1, 0, 3, 5, 2, 4] } as const;
const EIGHTH = {
  kind: "top",
  parent: "T",
  k: applySize("ceil", [multiplySizes(sizeOf(rational(1, 8)), axisSize("T"))]),
} as const;
const NONE = { kind: "top", parent: "T", k: 0 } as const;

type Family = "contract" | "gather_grad" | "cross_entropy_grad" | "adamw" | "sgd";

const chosen = (b: Bench, x: Node): Node => b.node("take", [x, b.index("K")], { dim: 0 });

/** Moments as they are after some steps: v is no negative number. */
const squares = (b: Bench, shape: readonly number[]): Node => b.data("f32", shape, (r) => r.normal() ** 2);

export const trainingSamples: Samples<Family> = {
  contract: within({ relative: 2e-6, absolute: 1.2e-5, why: "as products, of more terms in the samples" }, [
    {
      name: "worked by hand",
      build: (b) =>
        b.node("contract", [b.data("f32", [3, 2], [1, 2, 3, 4, 5, 6]), b.data("f32", [3, 1], [1, 0, -1])], {}),
      expected: [[-4, -4]],
    },
    {
      name: "rows of unequal lengths",
      setting: SEVEN,
      build: (b) => b.node("contract", [b.rows([], [37]), b.rows([], [41])], {}),
    },
    {
      name: "full tiles",
      setting: { batch: 2, tokens: 64 },
      build: (b) => b.node("contract", [b.rows([], [64]), b.rows([], [128])], {}),
    },
    {
      name: "odd tiles",
      setting: { tokens: 131 },
      build: (b) => b.node("contract", [b.rows([], [67]), b.rows([], [76])], {}),
    },
    { name: "one row", build: (b) => b.node("contract", [b.rows([], [67]), b.rows([], [131])], {}) },
    {
      name: "one column each",
      setting: SEVEN,
      build: (b) => b.node("contract", [b.rows([], [1]), b.rows([], [1])], {}),
    },
    {
      name: "f16",
      setting: SEVEN,
      build: (b) => b.node("contract", [b.rows([], [19], "f16"), b.rows([], [17], "f16")], {}),
    },
    {
      name: "chosen rows",
      setting: { batch: 2, tokens: 150, lengths: [150, 80], axes: { K: EIGHTH } },
      build: (b) => (b.top("K"), b.node("contract", [chosen(b, b.rows([], [12])), chosen(b, b.rows([], [9]))], {})),
    },
    {
      name: "no rows",
      setting: { ...UNEQUAL, axes: { K: NONE } },
      build: (b) => (b.top("K"), b.node("contract", [chosen(b, b.rows([], [2])), chosen(b, b.rows([], [3]))], {})),
      expected: [[0, 0, 0, 0, 0, 0]],
    },
  ]),
  gather_grad: within(summed, [
    {
      name: "worked by hand",
      build: (b) =>
        b.node("gather_grad", [b.data("u32", [4], [2, 0, 7, 2]), b.data("f32", [4, 2], [1, 2, 3, 4, 5, 6, 7, 8])], {
          rows: 3,
        }),
      expected: [[3, 4, 0, 0, 13, 16]],
    },
    {
      name: "rows of tokens",
      setting: SEVEN,
      build: (b) => b.node("gather_grad", [b.rows([], [], "u32", (r) => r.below(9)), b.rows([], [17])], { rows: 8 }),
    },
    {
      name: "rows of whole fours",
      setting: SEVEN,
      build: (b) => b.node("gather_grad", [b.rows([], [], "u32", (r) => r.below(9)), b.rows([], [12])], { rows: 8 }),
    },
    {
      name: "one row for very many",
      setting: { tokens: 700 },
      build: (b) =>
        b.node("gather_grad", [b.rows([], [], "u32", (r) => (r.below(9) === 0 ? r.below(100) : 3)), b.rows([], [5])], {
          rows: 100,
        }),
    },
    {
      name: "single values",
      build: (b) =>
        b.node("gather_grad", [b.data("u32", [3, 2], (r) => r.below(7)), b.data("f32", [3, 2])], { rows: 7 }),
    },
    {
      name: "one index",
      build: (b) => b.node("gather_grad", [b.data("u32", [], [4]), b.data("f32", [3, 2])], { rows: 5 }),
    },
    {
      name: "f16",
      setting: SEVEN,
      build: (b) =>
        b.node("gather_grad", [b.rows([], [], "u32", (r) => r.below(4)), b.rows([], [3], "f16")], { rows: 4 }),
    },
    {
      name: "no rows",
      setting: { ...UNEQUAL, axes: { K: NONE } },
      build: (b) => (
        b.top("K"),
        b.node("gather_grad", [chosen(b, b.rows([], [], "u32")), chosen(b, b.rows([], [2]))], { rows: 2 })
      ),
      expected: [[0, 0, 0, 0]],
    },
  ]),
  cross_entropy_grad: within(
    { relative: 4e-6, absolute: 3e-7, why: "a softmax, from which 1 is taken, times a factor" },
    [
      {
        name: "worked by hand",
        build: (b) =>
          b.node(
            "cross_entropy_grad",
            [b.data("f32", [2, 2], [0, 0, 1000, 1000]), b.data("u32", [2], [1, 7]), b.data("f32", [2], [2, 1])],
            {},
          ),
        expected: [[1, -1, 0.5, -0.5]],
      },
      {
        name: "ignored targets",
        build: (b) =>
          b.node(
            "cross_entropy_grad",
            [b.data("f32", [2, 2], [0, 0, 5, 5]), b.data("i32", [2], [-1, 1]), b.data("f32", [2], [3, 4])],
            {},
          ),
        expected: [[0, 0, 2, -2]],
      },
      {
        name: "rows of unequal lengths",
        setting: SEVEN,
        build: (b) =>
          b.node(
            "cross_entropy_grad",
            [b.rows([], [257]), b.rows([], [], "u32", (r) => r.below(257)), b.rows([], [])],
            {},
          ),
      },
      {
        name: "in the memory of the logits",
        setting: UNEQUAL,
        build: (b) =>
          b.node(
            "cross_entropy_grad",
            [
              b.node("add", [b.rows([], [33]), b.data("f32", [33])], {}),
              b.rows([], [], "u32", (r) => r.below(33)),
              b.rows([], []),
            ],
            {},
          ),
      },
      {
        name: "one class",
        build: (b) =>
          b.node("cross_entropy_grad", [b.data("f32", [2, 1]), b.data("u32", [2], [0, 0]), b.data("f32", [2])], {}),
        expected: [[0, 0]],
      },
      {
        name: "f16 and i32",
        setting: SEVEN,
        build: (b) =>
          b.node(
            "cross_entropy_grad",
            [b.rows([], [31], "f16"), b.rows([], [], "i32", (r) => r.below(32) - 1), b.rows([], [])],
            {},
          ),
      },
      {
        name: "a single row",
        build: (b) => b.node("cross_entropy_grad", [b.data("f32", [7]), b.data("u32", [], [3]), b.data("f32", [])], {}),
      },
    ],
  ),
  adamw: within({ relative: 1e-6, absolute: 3e-7, why: "a dozen roundings; a weight and its step may cancel" }, [
    ...[NaN, Infinity].map((factor): Sample<"adamw"> => ({
      name: `a factor of ${factor} changes nothing`,
      build: (b) =>
        b.node(
          "adamw",
          [
            b.data("f32", [2], [1, 2]),
            b.data("f32", [2], [3, 4]),
            b.data("f32", [2], [5, 6]),
            b.data("f32", [2], [7, 8]),
            b.data("f32", [5], [0.5, 0.1, 0.5, 0.5, factor]),
          ],
          { beta1: 0.5, beta2: 0.75, eps: 0 },
        ),
      expected: [
        [1, 2],
        [3, 4],
        [5, 6],
      ],
    })),
    {
      name: "worked by hand",
      // g = 2, m = 0.2, v = 0.004, m̂ = √v̂ = 2: a step of the learning rate, after decay by a twentieth
      build: (b) =>
        b.node(
          "adamw",
          [
            b.data("f32", [1], [1]),
            b.data("f32", [1], [0]),
            b.data("f32", [1], [0]),
            b.data("f32", [1], [4]),
            b.data("f32", [5], [0.5, 0.125, 0.5, 0.25, 0.5]),
          ],
          { beta1: 0.5, beta2: 0.75, eps: 0 },
        ),
      expected: [[0.4375], [1], [1]],
    },
    {
      name: "a matrix",
      build: (b) =>
        b.node(
          "adamw",
          [
            b.data("f32", [37, 5]),
            b.data("f32", [37, 5]),
            squares(b, [37, 5]),
            b.data("f32", [37, 5]),
            b.data("f32", [5], [0.01, 0.1, 0.6, 0.3, 0.7]),
          ],
          {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
          },
        ),
    },
    {
      name: "of what is computed, in place",
      build: (b) => {
        const [w, m, v, g] = [b.data("f32", [67]), b.data("f32", [67]), squares(b, [67]), b.data("f32", [67])].map(
          (x) => b.node("mul", [x, b.data("f32", [], [3])], {}),
        ) as [Node, Node, Node, Node];
        return b.node("adamw", [w, m, v, g, b.data("f32", [5], [0.01, 0, 0.1, 0.05, 1])], {
          beta1: 0.9,
          beta2: 0.999,
          eps: 1e-8,
        });
      },
    },
    {
      name: "one tensor as weight and moments",
      build: (b) => {
        const x = squares(b, [9]);
        return b.node("adamw", [x, x, x, x, b.data("f32", [5], [0.01, 0, 0.1, 0.05, 1])], {
          beta1: 0.9,
          beta2: 0.999,
          eps: 1e-8,
        });
      },
    },
  ]),
  sgd: within({ relative: 5e-7, absolute: 5e-7, why: "three multiply-adds, whose terms may cancel" }, [
    {
      name: "a factor that is not a number changes nothing",
      build: (b) =>
        b.node(
          "sgd",
          [
            b.data("f32", [2], [1, 2]),
            b.data("f32", [2], [3, 4]),
            b.data("f32", [2], [7, 8]),
            b.data("f32", [3], [0.5, 0.1, NaN]),
          ],
          {
            momentum: 0.5,
            nesterov: false,
          },
        ),
      expected: [
        [1, 2],
        [3, 4],
      ],
    },
    {
      name: "worked by hand",
      build: (b) =>
        b.node(
          "sgd",
          [
            b.data("f32", [1], [1]),
            b.data("f32", [1], [2]),
            b.data("f32", [1], [4]),
            b.data("f32", [3], [0.25, 0.5, 0.5]),
          ],
          {
            momentum: 0.5,
            nesterov: false,
          },
        ),
      expected: [[0.125], [3.5]],
    },
    {
      name: "a matrix",
      build: (b) =>
        b.node(
          "sgd",
          [
            b.data("f32", [37, 5]),
            b.data("f32", [37, 5]),
            b.data("f32", [37, 5]),
            b.data("f32", [3], [0.01, 0.1, 0.7]),
          ],
          {
            momentum: 0.9,
            nesterov: false,
          },
        ),
    },
    {
      name: "Nesterov's momentum",
      build: (b) => {
        const [w, m, g] = [b.data("f32", [67]), b.data("f32", [67]), b.data("f32", [67])].map((x) =>
          b.node("mul", [x, b.data("f32", [], [3])], {}),
        ) as [Node, Node, Node];
        return b.node("sgd", [w, m, g, b.data("f32", [3], [0.01, 0.1, 1])], { momentum: 0.9, nesterov: true });
      },
    },
  ]),
};
