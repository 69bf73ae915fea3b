// Samples of choices among the entries of the last axis: ties, NaN and infinity, one entry, all entries, no entry.
import type { Bench } from "./bench.js";
import type { Sample, Samples } from "./samples.js";
import { exact, rounded, within } from "./tolerance.js";

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

const UNEQUAL = { batch: 3, tokens: 5, lengths: [2, 5, 0] } as const;
const SEVEN = { batch: 7, tokens: 3, lengths: [3, 1, 0, 2, 3, 3, 1] } as const;

/** The k best of one row, listed by hand. */
const best = (scores: readonly number[], k: number, chosen: readonly number[]): Sample<"top_entries"> => ({
  name: `${k} of ${scores.map((s) => (Object.is(s, -0) ? "−0" : s)).join(", ")}`,
  build: (b) => b.node("top_entries", [b.data("f32", [scores.length], scores)], { k, choice: "C" }),
  expected: [chosen],
});

/** Rows with `among` scores, many equal; k entries per row are chosen. */
const chosenRows = (b: Bench, among: number, k: number, before: readonly number[] = []) =>
  b.node("top_entries", [b.rows(before, [among], "f32", (r) => r.below(Math.ceil(among / 2)))], { k, choice: "C" });

export const entrySamples: Samples<"top_entries" | "those_entries" | "take_entries" | "put_entries"> = {
  top_entries: within(exact, [
    best([1, 3, 2, 4], 2, [1, 3]),
    best([5, 5, 5, 5], 2, [0, 1]),
    best([1, 2, 1, 2, 1], 3, [0, 1, 3]),
    best([-0, 0, -1, 0], 2, [0, 1]),
    best([nan, 1, nan, -inf], 2, [1, 3]),
    best([nan, nan, nan], 2, [0, 1]),
    best([nan, inf, -inf, nan], 3, [0, 1, 2]),
    best([7], 1, [0]),
    best([3, 1, 2], 3, [0, 1, 2]),
    { name: "2 of 8 for each row", setting: UNEQUAL, build: (b) => chosenRows(b, 8, 2) },
    { name: "all of 5", setting: SEVEN, build: (b) => chosenRows(b, 5, 5) },
    { name: "8 of 128", setting: SEVEN, build: (b) => chosenRows(b, 128, 8) },
    { name: "9 of 65 with groups in front", setting: UNEQUAL, build: (b) => chosenRows(b, 65, 9, [2]) },
    { name: "3 of 700", build: (b) => b.node("top_entries", [b.data("f32", [2, 3, 700])], { k: 3, choice: "C" }) },
    { name: "of f16", build: (b) => b.node("top_entries", [b.data("f16", [3, 9])], { k: 4, choice: "C" }) },
  ]),
  those_entries: within(exact, [
    {
      name: "worked by hand",
      build: (b) =>
        b.node("those_entries", [b.data("bool", [3, 4], [0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1])], { choice: "C" }),
      expected: [[1, 3, 4, 4, 4, 4, 4, 4, 0, 1, 2, 3]],
    },
    {
      name: "one",
      build: (b) => b.node("those_entries", [b.data("bool", [2, 1], [1, 0])], { choice: "C" }),
      expected: [[0, 1]],
    },
    {
      name: "of each row",
      setting: UNEQUAL,
      build: (b) => b.node("those_entries", [b.rows([], [67], "bool")], { choice: "C" }),
    },
    {
      name: "behind groups",
      setting: SEVEN,
      build: (b) => b.node("those_entries", [b.rows([2], [5], "bool")], { choice: "C" }),
    },
  ]),
  take_entries: within(exact, [
    {
      name: "worked by hand, one of them no entry",
      build: (b) =>
        b.node("take_entries", [b.data("f32", [2, 3], [0, 1, 2, 3, 4, 5]), b.data("u32", [2, 2], [0, 2, 1, 3])], {}),
      expected: [[0, 2, 4, 0]],
    },
    {
      name: "of each row",
      setting: UNEQUAL,
      build: (b) => b.node("take_entries", [b.rows([], [8]), chosenRows(b, 8, 3)], {}),
    },
    {
      name: "behind groups",
      setting: SEVEN,
      build: (b) => b.node("take_entries", [b.rows([2], [5]), chosenRows(b, 5, 2, [2])], {}),
    },
    {
      name: "truths",
      build: (b) => b.node("take_entries", [b.data("bool", [3]), b.data("u32", [1], [2])], {}),
    },
    { name: "f16", build: (b) => b.node("take_entries", [b.data("f16", [1, 3]), b.data("u32", [1, 2], [1, 2])], {}) },
  ]),
  put_entries: within(rounded, [
    {
      name: "worked by hand, one of them no entry",
      build: (b) =>
        b.node(
          "put_entries",
          [
            b.data("f32", [2, 3], [0, 1, 2, 3, 4, 5]),
            b.data("u32", [2, 2], [0, 2, 1, 3]),
            b.data("f32", [2, 2], [10, 20, 30, 40]),
          ],
          {},
        ),
      expected: [[10, 1, 22, 3, 34, 5]],
    },
    {
      name: "of each row",
      setting: UNEQUAL,
      build: (b) => b.node("put_entries", [b.rows([], [8]), chosenRows(b, 8, 3), b.rows([], [3])], {}),
    },
    {
      name: "into zeros, behind groups",
      setting: SEVEN,
      build: (b) => {
        const index = chosenRows(b, 5, 2, [2]);
        const x = b.rows([2], [5]);
        const zeros = b.node("constant", [], { value: 0, dtype: "f32", shape: x.types[0]!.shape });
        return b.node("put_entries", [zeros, index, b.rows([2], [2])], {});
      },
    },
    {
      name: "whole numbers",
      build: (b) =>
        b.node("put_entries", [b.data("i32", [4]), b.data("u32", [2], [1, 3]), b.data("i32", [2], [-5, 6])], {}),
    },
    {
      name: "f16",
      build: (b) => b.node("put_entries", [b.data("f16", [3]), b.data("u32", [1], [2]), b.data("f16", [1])], {}),
    },
  ]),
};
