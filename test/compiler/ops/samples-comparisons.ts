// Samples for comparisons, logic and `where`.
import { comparisons, logic } from "./pointwise-forms.js";
import type { Samples } from "./samples.js";
import { exact, within } from "./tolerance.js";

const { NaN: nan } = Number;

export const comparisonSamples: Samples<"eq" | "ne" | "lt" | "le" | "gt" | "ge" | "and" | "or" | "not" | "where"> = {
  eq: within(
    exact,
    comparisons("eq", (a, b) => a === b),
  ),
  ne: within(
    exact,
    comparisons("ne", (a, b) => a !== b),
  ),
  lt: within(
    exact,
    comparisons("lt", (a, b) => a < b),
  ),
  le: within(
    exact,
    comparisons("le", (a, b) => a <= b),
  ),
  gt: within(
    exact,
    comparisons("gt", (a, b) => a > b),
  ),
  ge: within(
    exact,
    comparisons("ge", (a, b) => a >= b),
  ),
  and: within(
    exact,
    logic("and", [
      [0, 0, 0],
      [0, 1, 0],
      [1, 0, 0],
      [1, 1, 1],
    ]),
  ),
  or: within(
    exact,
    logic("or", [
      [0, 0, 0],
      [0, 1, 1],
      [1, 0, 1],
      [1, 1, 1],
    ]),
  ),
  not: within(exact, [
    { name: "worked by hand", build: (b) => b.node("not", [b.data("bool", [2], [0, 1])], {}), expected: [[1, 0]] },
  ]),
  where: within(exact, [
    {
      name: "worked by hand",
      build: (b) =>
        b.node(
          "where",
          [b.data("bool", [3], [1, 0, 1]), b.data("f32", [3], [1, nan, 3]), b.data("f32", [3], [nan, 5, 6])],
          {},
        ),
      expected: [[1, 5, 3]],
    },
    {
      name: "[5, 1], [3], scalar",
      build: (b) => b.node("where", [b.data("bool", [5, 1]), b.data("f32", [3]), b.data("f32", [])], {}),
    },
    {
      name: "whole numbers",
      build: (b) => b.node("where", [b.data("bool", [7]), b.data("i32", [7]), b.data("i32", [7])], {}),
    },
    { name: "bool", build: (b) => b.node("where", [b.data("bool", [7]), b.data("bool", [7]), b.data("bool", [])], {}) },
    {
      name: "rows of unequal lengths",
      setting: { batch: 3, tokens: 4, lengths: [4, 0, 1] },
      build: (b) => b.node("where", [b.rows([], [1], "bool"), b.rows([], [3], "f16"), b.data("f16", [3])], {}),
    },
  ]),
};
