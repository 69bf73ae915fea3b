// Samples of operators on sequences, and of rotation.
import { axisSize } from "../../../src/ground/size/size.js";
import type { Node } from "../../../src/compiler/ir/graph.js";
import type { Bench } from "./bench.js";
import type { Samples } from "./samples.js";
import { exact, within } from "./tolerance.js";

const UNEQUAL = { batch: 3, tokens: 4, lengths: [2, 4, 0] } as const;
const SEVEN = { batch: 7, tokens: 5, lengths: [5, 1, 0, 3, 5, 2, 4] } as const;
const TOP_1 = { kind: "top", parent: "T", k: 1 } as const;
const TOP_2 = { kind: "top", parent: "T", k: 2 } as const;
const NONE = { kind: "top", parent: "T", k: 0 } as const;

const rope = (
  b: Bench,
  before: readonly number[],
  width: number,
  axis = "T",
  dtype: "f32" | "f16" = "f32",
): Node<"rope"> => {
  const table = b.node("rope_table", [], {
    positions: axisSize("T"),
    width,
    theta: 10000,
    frequencies: null,
    scale: 1,
  });
  const x = b.rows(before, [width], dtype);
  return b.node(
    "rope",
    [axis === "T" ? x : b.node("take", [x, b.index(axis)], { dim: before.length }), b.positions(axis), table],
    {},
  );
};

const countsOf = (b: Bench, axis: string): Node => b.node("counts", [b.starts(axis)], {});

type Family = "positions" | "segments" | "append" | "counts" | "last" | "unpack" | "pack" | "mask" | "rope";

export const sequenceSamples: Samples<Family> = {
  positions: within(exact, [
    {
      name: "unequal lengths",
      setting: UNEQUAL,
      build: (b) => b.node("positions", [b.starts("T")], { axis: "T" }),
      expected: [[0, 1, 0, 0, 0, 1, 2, 3, 0, 0, 0, 0]],
    },
    { name: "one token", build: (b) => b.node("positions", [b.starts("T")], { axis: "T" }), expected: [[0]] },
    {
      name: "a routed axis",
      setting: { ...SEVEN, axes: { K: TOP_2 } },
      build: (b) => (b.top("K"), b.node("positions", [b.starts("K")], { axis: "K" })),
    },
    {
      name: "an empty route",
      setting: { ...UNEQUAL, axes: { K: NONE } },
      build: (b) => (b.top("K"), b.node("positions", [b.starts("K")], { axis: "K" })),
      expected: [[]],
    },
  ]),
  segments: within(exact, [
    {
      name: "unequal lengths",
      setting: UNEQUAL,
      build: (b) => b.node("segments", [b.starts("T")], { axis: "T" }),
      expected: [[0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]],
    },
    { name: "seven sequences", setting: SEVEN, build: (b) => b.node("segments", [b.starts("T")], { axis: "T" }) },
    {
      name: "an empty route",
      setting: { ...UNEQUAL, axes: { K: NONE } },
      build: (b) => (b.top("K"), b.node("segments", [b.starts("K")], { axis: "K" })),
      expected: [[]],
    },
  ]),
  append: within(exact, [
    {
      name: "places behind as many as there are",
      setting: UNEQUAL,
      build: (b) => b.node("append", [countsOf(b, "T"), b.starts("T")], { axis: "T" }),
      expected: [[2, 3, 0, 0, 4, 5, 6, 7, 0, 0, 0, 0]],
    },
    {
      name: "rows of a longer axis, for a route of unequal counts",
      setting: { batch: 3, tokens: 4, lengths: [0, 4, 1], axes: { K: TOP_2 } },
      build: (b) => (b.top("K"), b.node("append", [countsOf(b, "T"), b.starts("K"), b.starts("T")], { axis: "K" })),
      expected: [[0, 0, 4, 5, 5, 0]],
    },
    {
      name: "an empty route",
      setting: { ...UNEQUAL, axes: { K: NONE } },
      build: (b) => (b.top("K"), b.node("append", [countsOf(b, "T"), b.starts("K")], { axis: "K" })),
      expected: [[]],
    },
    {
      name: "seven sequences",
      setting: SEVEN,
      build: (b) => b.node("append", [countsOf(b, "T"), b.starts("T"), b.starts("T")], { axis: "T" }),
    },
  ]),
  counts: within(exact, [
    {
      name: "unequal lengths",
      setting: UNEQUAL,
      build: (b) => b.node("counts", [b.starts("T")], {}),
      expected: [[2, 4, 0]],
    },
    {
      name: "a routed axis",
      setting: { ...SEVEN, axes: { K: TOP_2 } },
      build: (b) => (b.top("K"), b.node("counts", [b.starts("K")], {})),
      expected: [[2, 1, 0, 2, 2, 2, 2]],
    },
  ]),
  last: within(exact, [
    {
      name: "unequal lengths",
      setting: { batch: 3, tokens: 4, lengths: [2, 4, 1], axes: { S: TOP_1 } },
      build: (b) => (b.top("S"), b.node("last", [b.starts("T")], { axis: "S" })),
      expected: [[1, 5, 6]],
    },
  ]),
  unpack: within(exact, [
    {
      name: "worked by hand",
      setting: UNEQUAL,
      build: (b) => b.node("unpack", [b.rows([], [], "f32", [1, 2, 3, 4, 5, 6]), b.starts("T")], { dim: 0, axis: "T" }),
      expected: [[1, 2, 0, 0, 3, 4, 5, 6, 0, 0, 0, 0]],
    },
    {
      name: "behind heads",
      setting: SEVEN,
      build: (b) => b.node("unpack", [b.rows([3], [2]), b.starts("T")], { dim: 1, axis: "T" }),
    },
    {
      name: "whole numbers",
      setting: UNEQUAL,
      build: (b) => b.node("unpack", [b.rows([], [3], "i32"), b.starts("T")], { dim: 0, axis: "T" }),
    },
    {
      name: "a routed axis",
      setting: { ...SEVEN, axes: { K: TOP_2 } },
      build: (b) => (
        b.top("K"),
        b.node("unpack", [b.node("take", [b.rows([], [3]), b.index("K")], { dim: 0 }), b.starts("K")], {
          dim: 0,
          axis: "K",
        })
      ),
    },
  ]),
  pack: within(exact, [
    {
      name: "worked by hand",
      setting: UNEQUAL,
      build: (b) =>
        b.node("pack", [b.padded([], "f32", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]), b.starts("T")], {
          dim: 0,
          axis: "T",
        }),
      expected: [[1, 2, 0, 0, 5, 6, 7, 8, 0, 0, 0, 0]],
    },
    {
      name: "undoes unpack behind heads",
      setting: SEVEN,
      build: (b) =>
        b.node("pack", [b.node("unpack", [b.rows([3], [2]), b.starts("T")], { dim: 1, axis: "T" }), b.starts("T")], {
          dim: 1,
          axis: "T",
        }),
    },
    {
      name: "bool",
      setting: UNEQUAL,
      build: (b) =>
        b.node(
          "pack",
          [b.node("unpack", [b.rows([], [3], "bool"), b.starts("T")], { dim: 0, axis: "T" }), b.starts("T")],
          { dim: 0, axis: "T" },
        ),
    },
  ]),
  mask: within(exact, [
    {
      name: "worked by hand",
      setting: UNEQUAL,
      build: (b) =>
        b.node(
          "mask",
          [
            b.node("unpack", [b.rows([], [], "f32", [1, 2, 3, 4, 5, 6]), b.starts("T")], { dim: 0, axis: "T" }),
            b.starts("T"),
          ],
          {
            dim: 1,
            fill: -9,
          },
        ),
      expected: [[1, 2, -9, -9, 3, 4, 5, 6, -9, -9, -9, -9]],
    },
    {
      name: "behind heads",
      setting: SEVEN,
      build: (b) =>
        b.node("mask", [b.node("unpack", [b.rows([3], [2]), b.starts("T")], { dim: 1, axis: "T" }), b.starts("T")], {
          dim: 2,
          fill: 7,
        }),
    },
    {
      name: "u32",
      setting: UNEQUAL,
      build: (b) =>
        b.node(
          "mask",
          [b.node("unpack", [b.rows([], [3], "u32"), b.starts("T")], { dim: 0, axis: "T" }), b.starts("T")],
          { dim: 1, fill: 0 },
        ),
    },
  ]),
  rope: within(
    { relative: 5e-7, absolute: 3e-7, why: "a difference of two products of 32-bit values, which may cancel" },
    [
      {
        name: "worked by hand",
        setting: { tokens: 2 },
        // position 0 stays; position 1 turns (1, 0) by 1 radian
        build: (b) =>
          b.node(
            "rope",
            [
              b.rows([], [2], "f32", [1, 0, 1, 0]),
              b.positions("T"),
              b.node("rope_table", [], {
                positions: axisSize("T"),
                width: 2,
                theta: 10000,
                frequencies: null,
                scale: 1,
              }),
            ],
            {},
          ),
        expected: [[1, 0, Math.cos(1), Math.sin(1)]],
      },
      { name: "heads, unequal lengths", setting: UNEQUAL, build: (b) => rope(b, [3], 8) },
      { name: "seven sequences, odd half", setting: SEVEN, build: (b) => rope(b, [2], 6) },
      { name: "one token", build: (b) => rope(b, [1], 4) },
      { name: "f16", setting: UNEQUAL, build: (b) => rope(b, [2], 4, "T", "f16") },
      {
        name: "a routed axis keeps positions",
        setting: { ...SEVEN, axes: { K: TOP_2 } },
        build: (b) => (b.top("K"), rope(b, [2], 4, "K")),
      },
    ],
  ),
};
