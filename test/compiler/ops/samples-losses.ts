// Samples for losses of rows.
import type { Samples } from "./samples.js";
import { within } from "./tolerance.js";

const UNEQUAL = { batch: 3, tokens: 5, lengths: [2, 5, 0] } as const;
const SEVEN = { batch: 7, tokens: 3, lengths: [3, 1, 0, 2, 3, 3, 1] } as const;

export const lossSamples: Samples<"cross_entropy" | "class_sums" | "class_grad"> = {
  cross_entropy: within({ relative: 1e-6, absolute: 1e-6, why: "exp of a difference, a blocked sum and a logarithm" }, [
    {
      name: "worked by hand",
      build: (b) =>
        b.node("cross_entropy", [b.data("f32", [3, 2], [0, 0, 1000, 0, 0, 1000]), b.data("u32", [3], [1, 0, 0])], {}),
      expected: [[Math.LN2, 0, 1000]],
    },
    {
      name: "ignored targets",
      build: (b) =>
        b.node("cross_entropy", [b.data("f32", [3, 2], [0, 0, 5, 5, 1, 1]), b.data("i32", [3], [-1, 1, -100])], {}),
      expected: [[0, Math.LN2, 0]],
    },
    {
      name: "rows of unequal lengths",
      setting: UNEQUAL,
      build: (b) => b.node("cross_entropy", [b.rows([], [257]), b.rows([], [], "u32", (r) => r.below(257))], {}),
    },
    {
      name: "one class",
      build: (b) => b.node("cross_entropy", [b.data("f32", [3, 1]), b.data("u32", [3], [0, 0, 0])], {}),
      expected: [[0, 0, 0]],
    },
    {
      name: "f16 and i32",
      setting: SEVEN,
      build: (b) =>
        b.node("cross_entropy", [b.rows([], [31], "f16"), b.rows([], [], "i32", (r) => r.below(32) - 1)], {}),
    },
    { name: "a single row", build: (b) => b.node("cross_entropy", [b.data("f32", [7]), b.data("u32", [], [3])], {}) },
  ]),
  class_sums: within({ relative: 1e-6, absolute: 1e-6, why: "exp of a difference and a blocked sum" }, [
    {
      name: "worked by hand",
      build: (b) =>
        b.node("class_sums", [b.data("f32", [3, 2], [0, 0, 1000, 0, 0, 1000]), b.data("u32", [3], [1, 0, 9])], {
          first: 0,
          classes: 4,
        }),
      expected: [[0, 2, 0, 1000, 1, 1000, 1000, 1, 0]],
    },
    {
      name: "after others",
      build: (b) =>
        b.node(
          "class_sums",
          [
            b.data("f32", [3, 3], [0, 2, 5, 7, 1, 5, 0, 2, 5]),
            b.data("f32", [3, 1], [0, 7, -Infinity]),
            b.data("i32", [3], [2, 1, -1]),
          ],
          {
            first: 2,
            classes: 3,
          },
        ),
      expected: [[0, 3, 0, 7, 2, 5, 0, 2, -Infinity]],
    },
    {
      name: "rows of unequal lengths",
      setting: UNEQUAL,
      build: (b) =>
        b.node(
          "class_sums",
          [
            b.rows([], [3], "f32", (r) => Math.abs(r.normal())),
            b.rows([], [257]),
            b.rows([], [], "u32", (r) => r.below(600)),
          ],
          {
            first: 200,
            classes: 500,
          },
        ),
    },
    {
      name: "few classes, f16 and i32",
      setting: SEVEN,
      build: (b) =>
        b.node("class_sums", [b.rows([], [31], "f16"), b.rows([], [], "i32", (r) => r.below(80) - 1)], {
          first: 31,
          classes: 62,
        }),
    },
  ]),
  class_grad: within({ relative: 4e-6, absolute: 3e-7, why: "a share, from which 1 is taken, times a factor" }, [
    {
      name: "worked by hand",
      build: (b) =>
        b.node(
          "class_grad",
          [
            b.data("f32", [2, 2], [0, 5, 3, 3]),
            b.data("f32", [2, 3], [5, 4, 0, 3, 2, 3]),
            b.data("u32", [2], [3, 9]),
            b.data("f32", [2], [2, 10]),
          ],
          { first: 2, classes: 4 },
        ),
      expected: [[Math.exp(-5) / 2, -1.5, 5, -5]],
    },
    {
      name: "ignored targets",
      build: (b) =>
        b.node(
          "class_grad",
          [
            b.data("f32", [2, 2], [0, 0, 5, 5]),
            b.data("f32", [2, 3], [0, 2, 0, 5, 2, 5]),
            b.data("i32", [2], [-1, 1]),
            b.data("f32", [2], [3, 4]),
          ],
          { first: 0, classes: 2 },
        ),
      expected: [[0, 0, 2, -2]],
    },
    {
      name: "rows of unequal lengths",
      setting: UNEQUAL,
      build: (b) =>
        b.node(
          "class_grad",
          [
            b.rows([], [257]),
            b.rows([], [3], "f32", (r) => 1 + Math.abs(r.normal())),
            b.rows([], [], "u32", (r) => r.below(600)),
            b.rows([], []),
          ],
          { first: 200, classes: 500 },
        ),
    },
    {
      name: "in the memory of the logits",
      setting: UNEQUAL,
      build: (b) => {
        const logits = b.node("add", [b.rows([], [33]), b.data("f32", [33])], {});
        const sums = b.rows([], [3], "f32", (r) => 1 + Math.abs(r.normal()));
        return b.node("class_grad", [logits, sums, b.rows([], [], "u32", (r) => r.below(40)), b.rows([], [])], {
          first: 3,
          classes: 40,
        });
      },
    },
    {
      name: "few classes, f16 and i32",
      setting: SEVEN,
      build: (b) =>
        b.node(
          "class_grad",
          [
            b.rows([], [31], "f16"),
            b.rows([], [3], "f32", (r) => 1 + Math.abs(r.normal())),
            b.rows([], [], "i32", (r) => r.below(80) - 1),
            b.rows([], []),
          ],
          { first: 31, classes: 62 },
        ),
    },
  ]),
};
