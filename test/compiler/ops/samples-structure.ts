// Samples of operators that move elements and compute nothing.
import { rowsSize } from "../../../src/ground/size/size.js";
import type { Bench } from "./bench.js";
import type { Samples } from "./samples.js";
import { exact, within } from "./tolerance.js";

const { NaN: nan } = Number;

const UNEQUAL = { batch: 3, tokens: 5, lengths: [2, 5, 0] } as const;
const SEVEN = { batch: 7, tokens: 3, lengths: [3, 1, 0, 2, 3, 3, 1] } as const;

type Family =
  | "pick"
  | "reshape"
  | "permute"
  | "broadcast"
  | "slice"
  | "concat"
  | "stop_gradient"
  | "straight"
  | "barrier"
  | "gather";

export const structureSamples: Samples<Family> = {
  pick: within(exact, [
    {
      name: "rows of a choice",
      setting: { tokens: 4, axes: { K: { kind: "top", parent: "T", k: 2 } } },
      build: (b) => b.node("pick", [b.top("K", b.rows([], [], "f32", [1, 3, 2, 4]))], { result: 0 }),
      expected: [[1, 3]],
    },
    {
      name: "starts of a choice",
      setting: { tokens: 4, axes: { K: { kind: "top", parent: "T", k: 2 } } },
      build: (b) => b.node("pick", [b.top("K", b.rows([], [], "f32", [1, 3, 2, 4]))], { result: 1 }),
      expected: [[0, 2]],
    },
  ]),
  reshape: within(exact, [
    {
      name: "[3, 4] to [2, 6]",
      build: (b) =>
        b.node("reshape", [b.data("f32", [3, 4], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])], { shape: [2, 6] }),
      expected: [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]],
    },
    {
      name: "to a scalar",
      build: (b) => b.node("reshape", [b.data("f32", [1, 1], [5])], { shape: [] }),
      expected: [[5]],
    },
    {
      name: "heads of rows",
      setting: UNEQUAL,
      build: (b) => b.node("reshape", [b.rows([], [6])], { shape: [rowsSize("T"), 3, 2] }),
    },
  ]),
  permute: within(exact, [
    {
      name: "a matrix",
      build: (b) => b.node("permute", [b.data("f32", [2, 3], [1, 2, 3, 4, 5, 6])], { order: [1, 0] }),
      expected: [[1, 4, 2, 5, 3, 6]],
    },
    { name: "[3, 5, 7] by 2, 0, 1", build: (b) => b.node("permute", [b.data("i32", [3, 5, 7])], { order: [2, 0, 1] }) },
    {
      name: "heads to the front",
      setting: SEVEN,
      build: (b) => b.node("permute", [b.rows([], [3, 2])], { order: [1, 0, 2] }),
    },
    { name: "a scalar", build: (b) => b.node("permute", [b.data("f32", [])], { order: [] }) },
    { name: "bool", build: (b) => b.node("permute", [b.data("bool", [3, 2])], { order: [1, 0] }) },
  ]),
  broadcast: within(exact, [
    {
      name: "a row",
      build: (b) => b.node("broadcast", [b.data("f32", [2], [1, 2])], { shape: [3, 2] }),
      expected: [[1, 2, 1, 2, 1, 2]],
    },
    {
      name: "a column",
      build: (b) => b.node("broadcast", [b.data("f32", [3, 1], [1, 2, 3])], { shape: [3, 2] }),
      expected: [[1, 1, 2, 2, 3, 3]],
    },
    {
      name: "a scalar to rows",
      setting: UNEQUAL,
      build: (b) => b.node("broadcast", [b.data("u32", [])], { shape: [rowsSize("T"), 3] }),
    },
    { name: "to its own shape", build: (b) => b.node("broadcast", [b.data("bool", [5])], { shape: [5] }) },
  ]),
  slice: within(exact, [
    {
      name: "the middle",
      build: (b) => b.node("slice", [b.data("f32", [2, 4], [0, 1, 2, 3, 4, 5, 6, 7])], { axis: 1, start: 1, stop: 3 }),
      expected: [[1, 2, 5, 6]],
    },
    {
      name: "the first dimension",
      build: (b) => b.node("slice", [b.data("i32", [7, 3])], { axis: 0, start: 6, stop: 7 }),
    },
    { name: "all", build: (b) => b.node("slice", [b.data("f16", [5])], { axis: 0, start: 0, stop: 5 }) },
    {
      name: "the width of rows",
      setting: UNEQUAL,
      build: (b) => b.node("slice", [b.rows([], [5, 3])], { axis: 1, start: 2, stop: 5 }),
    },
  ]),
  concat: within(exact, [
    {
      name: "columns",
      build: (b) => b.node("concat", [b.data("f32", [2, 1], [1, 2]), b.data("f32", [2, 2], [3, 4, 5, 6])], { axis: 1 }),
      expected: [[1, 3, 4, 2, 5, 6]],
    },
    {
      name: "three of [n, 3]",
      build: (b) =>
        b.node("concat", [b.data("u32", [5, 3]), b.data("u32", [1, 3]), b.data("u32", [7, 3])], { axis: 0 }),
    },
    { name: "one", build: (b) => b.node("concat", [b.data("f32", [5])], { axis: 0 }) },
    ...[7, 8, 19].map((parts) => ({
      name: `${parts} of unlike width`,
      build: (b: Bench) =>
        b.node(
          "concat",
          Array.from({ length: parts }, (_, i) => b.data("f32", [2, 1 + (i % 3), 2])),
          { axis: 1 },
        ),
    })),
    {
      name: "the width of rows",
      setting: UNEQUAL,
      build: (b) => b.node("concat", [b.rows([], [5]), b.rows([], [2])], { axis: 1 }),
    },
    {
      name: "the same twice",
      build: (b) => {
        const x = b.data("bool", [3]);
        return b.node("concat", [x, x], { axis: 0 });
      },
    },
  ]),
  stop_gradient: within(exact, [
    {
      name: "the same",
      build: (b) => b.node("stop_gradient", [b.data("f32", [3], [1, nan, 3])], {}),
      expected: [[1, nan, 3]],
    },
  ]),
  straight: within(exact, [
    {
      name: "the first, whatever the second is",
      build: (b) => b.node("straight", [b.data("f32", [3], [1, nan, -0]), b.data("f32", [3], [0.5, 2, nan])], {}),
      expected: [[1, nan, -0]],
    },
  ]),
  barrier: within(exact, [
    {
      name: "the first",
      build: (b) => b.node("barrier", [b.data("f32", [2], [1, 2]), b.data("u32", [3])], {}),
      expected: [[1, 2]],
    },
  ]),
  gather: within(exact, [
    {
      name: "worked by hand",
      build: (b) => b.node("gather", [b.data("f32", [3, 2], [0, 1, 2, 3, 4, 5]), b.data("u32", [4], [2, 0, 7, 1])], {}),
      expected: [[4, 5, 0, 1, 4, 5, 2, 3]],
    },
    {
      name: "rows of tokens",
      setting: UNEQUAL,
      build: (b) =>
        b.node("gather", [b.weight("table", "f32", [31, 17]), b.rows([], [], "u32", (r) => r.below(31))], {}),
    },
    {
      name: "rows of whole fours",
      build: (b) =>
        b.node("gather", [b.weight("table", "f32", [31, 12]), b.rows([], [], "u32", (r) => r.below(31))], {}),
    },
    {
      name: "single values",
      build: (b) => b.node("gather", [b.data("i32", [7]), b.data("u32", [3, 2], (r) => r.below(7))], {}),
    },
    { name: "one index", build: (b) => b.node("gather", [b.data("bool", [5, 3]), b.data("u32", [], [4])], {}) },
    {
      name: "f16",
      build: (b) => b.node("gather", [b.weight("table", "f16", [5, 3, 2]), b.data("u32", [7], (r) => r.below(5))], {}),
    },
  ]),
};
