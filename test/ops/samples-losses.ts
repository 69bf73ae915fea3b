// Samples of the losses of rows.
import type { Samples } from "./samples.js";

const UNEQUAL = { batch: 3, tokens: 5, lengths: [2, 5, 0] } as const;
const SEVEN = { batch: 7, tokens: 3, lengths: [3, 1, 0, 2, 3, 3, 1] } as const;

export const lossSamples: Samples<"cross_entropy" | "class_sums"> = {
  cross_entropy: [
    {
      name: "worked by hand",
      build: (b) => b.node("cross_entropy", [b.data("f32", [3, 2], [0, 0, 1000, 0, 0, 1000]), b.data("u32", [3], [1, 0, 0])], {}),
      expected: [[Math.LN2, 0, 1000]],
    },
    {
      name: "ignored targets",
      build: (b) => b.node("cross_entropy", [b.data("f32", [3, 2], [0, 0, 5, 5, 1, 1]), b.data("i32", [3], [-1, 1, -100])], {}),
      expected: [[0, Math.LN2, 0]],
    },
    {
      name: "rows of unequal lengths",
      setting: UNEQUAL,
      build: (b) => b.node("cross_entropy", [b.rows([], [257]), b.rows([], [], "u32", (r) => r.below(257))], {}),
    },
    { name: "one class", build: (b) => b.node("cross_entropy", [b.data("f32", [3, 1]), b.data("u32", [3], [0, 0, 0])], {}), expected: [[0, 0, 0]] },
    {
      name: "f16 and i32",
      setting: SEVEN,
      build: (b) => b.node("cross_entropy", [b.rows([], [31], "f16"), b.rows([], [], "i32", (r) => r.below(32) - 1)], {}),
    },
    { name: "a single row", build: (b) => b.node("cross_entropy", [b.data("f32", [7]), b.data("u32", [], [3])], {}) },
  ],
  class_sums: [
    {
      name: "worked by hand",
      build: (b) => b.node("class_sums", [b.data("f32", [3, 2], [0, 0, 1000, 0, 0, 1000]), b.data("u32", [3], [1, 0, 9])], { first: 0, classes: 4 }),
      expected: [[0, 2, 0, 1000, 1, 1000, 1000, 1, 0]],
    },
    {
      name: "after others",
      build: (b) =>
        b.node("class_sums", [b.data("f32", [3, 3], [0, 2, 5, 7, 1, 5, 0, 2, 5]), b.data("f32", [3, 1], [0, 7, -Infinity]), b.data("i32", [3], [2, 1, -1])], {
          first: 2,
          classes: 3,
        }),
      expected: [[0, 3, 0, 7, 2, 5, 0, 2, -Infinity]],
    },
    {
      name: "rows of unequal lengths",
      setting: UNEQUAL,
      build: (b) =>
        b.node("class_sums", [b.rows([], [3], "f32", (r) => Math.abs(r.normal())), b.rows([], [257]), b.rows([], [], "u32", (r) => r.below(600))], {
          first: 200,
          classes: 500,
        }),
    },
    {
      name: "few classes, f16 and i32",
      setting: SEVEN,
      build: (b) => b.node("class_sums", [b.rows([], [31], "f16"), b.rows([], [], "i32", (r) => r.below(80) - 1)], { first: 31, classes: 62 }),
    },
  ],
};
