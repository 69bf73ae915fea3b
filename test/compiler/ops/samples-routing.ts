// Samples of routing: choices with ties, NaN and infinity, empty and full, and the ways there and back.
import { rational } from "../../../src/ground/numerics/rational.js";
import { applySize, axisSize, liveSize, multiplySizes, sizeOf, type Size } from "../../../src/ground/size/size.js";
import type { CountRule } from "../../../src/ground/size/count-rules.js";
import type { Node } from "../../../src/compiler/ir/graph.js";
import type { DType } from "../../../src/ground/base/dtype.js";
import { expectOp, type Bench, type Setting } from "./bench.js";
import type { Sample, Samples } from "./samples.js";
import { exact, rounded, within } from "./tolerance.js";

const { NaN: nan, POSITIVE_INFINITY: inf } = Number;

const UNEQUAL = { batch: 3, tokens: 4, lengths: [2, 4, 0] } as const;
const SEVEN = { batch: 7, tokens: 5, lengths: [5, 1, 0, 3, 5, 2, 4] } as const;

const ceilOf = (num: number, den: number, axis = "T"): Size =>
  applySize("ceil", [multiplySizes(sizeOf(rational(num, den)), axisSize(axis))]);
const top = (k: Size, parent = "T"): CountRule => ({ kind: "top", parent, k });
const above: CountRule = { kind: "above", parent: "T", expected: rational(1, 8) };
const span = (start: Size, stop: Size | null, parent = "T"): CountRule => ({ kind: "span", parent, start, stop });

/** The k best of one sequence, listed by hand. */
const best = (
  scores: readonly number[],
  k: number,
  chosen: readonly number[],
  name = `${k} of ${scores.join(", ")}`,
): Sample<"top"> => ({
  name,
  setting: { tokens: scores.length, axes: { K: top(k) } },
  build: (b) => b.top("K", b.rows([], [], "f32", scores)),
  expected: [chosen, [0, chosen.length], chosen],
});

const exceed = (scores: readonly number[], threshold: number, chosen: readonly number[]): Sample<"above"> => ({
  name: `above ${Object.is(threshold, -0) ? "−0" : threshold}: ${scores.join(", ")}`,
  setting: { tokens: scores.length, axes: { A: above } },
  build: (b) => b.above("A", b.rows([], [], "f32", scores), b.data("f32", [], [threshold])),
  expected: [chosen, [0, chosen.length]],
});

const slice = (
  name: string,
  setting: Setting,
  rule: CountRule,
  expected: readonly (readonly number[])[],
): Sample<"span"> => ({
  name,
  setting: { ...setting, axes: { S: rule } },
  build: (b) => b.span("S"),
  expected,
});

/** `put` or `set` of random rows on a chosen axis. */
const writes = <K extends "put" | "set">(op: K, dtypes: readonly DType[]): readonly Sample<K>[] => {
  const write = (b: Bench, before: readonly number[], behind: readonly number[], dtype: DType = "f32") => {
    b.top("K");
    const y = b.node("take", [b.rows(before, behind, dtype), b.index("K")], { dim: before.length });
    return expectOp(
      op,
      b.node<"put" | "set">(op, [b.rows(before, behind, dtype), b.index("K"), y], { dim: before.length }),
    );
  };
  return [
    ...dtypes.map((dtype): Sample<K> => ({
      name: `${dtype}, unequal lengths`,
      setting: { ...UNEQUAL, axes: { K: top(2) } },
      build: (b) => write(b, [], [3], dtype),
    })),
    { name: "single values", setting: { ...SEVEN, axes: { K: top(2) } }, build: (b) => write(b, [], []) },
    { name: "behind heads", setting: { ...SEVEN, axes: { K: top(ceilOf(1, 2)) } }, build: (b) => write(b, [3], [2]) },
    { name: "no row", setting: { ...SEVEN, axes: { K: top(0) } }, build: (b) => write(b, [], [3]) },
    { name: "every row", setting: { ...SEVEN, axes: { K: top(axisSize("T")) } }, build: (b) => write(b, [], [3]) },
    { name: "one token", setting: { axes: { K: top(1) } }, build: (b) => write(b, [], [67]) },
  ];
};

/** Scores in E columns, with few distinct values. */
const columns = (b: Bench, E: number): Node => b.rows([], [E], "f32", (r) => r.below(9) - 4);

type Family = "top" | "top_rows" | "above" | "span" | "join" | "take" | "put" | "set" | "route_mask";

export const routingSamples: Samples<Family> = {
  top: within(exact, [
    best([1, 3, 2, 4], 2, [1, 3]),
    best([5, 5, 5, 5], 2, [0, 1], "ties go to the earlier"),
    best([1, 5, 2, 5, 5], 2, [1, 3], "ties at the border"),
    best([-0, 0, -0, 0], 1, [0], "−0 ties with 0"),
    best([nan, 1, nan, -inf], 3, [0, 1, 3], "NaN ranks last, earlier first"),
    best([nan, nan, nan], 2, [0, 1], "all NaN"),
    best([-inf, inf, 0, inf, -inf], 3, [1, 2, 3], "infinities"),
    best([-inf, -inf, -inf], 1, [0], "all −∞"),
    best([-1, -3, -2], 1, [0]),
    best([1e-40, 0, -1e-40], 1, [0], "subnormal scores rank above 0"),
    best([3, 1, 2], 0, [], "none"),
    best([3, 1, 2], 3, [0, 1, 2], "all"),
    best([3, 1, 2], 100, [0, 1, 2], "k is capped"),
    best([7], 1, [0], "one token"),
    {
      name: "unequal lengths",
      setting: { ...UNEQUAL, axes: { K: top(ceilOf(1, 2)) } },
      build: (b) => b.top("K", b.rows([], [], "f32", [1, 2, 9, 7, 8, 9])),
      expected: [
        [1, 0, 2, 5, 0, 0],
        [0, 1, 3, 3],
        [1, 0, 0, 3, 0, 0],
      ],
    },
    {
      name: "an eighth of seven sequences",
      setting: { batch: 7, tokens: 67, lengths: [67, 1, 0, 64, 65, 8, 9], axes: { K: top(ceilOf(1, 8)) } },
      build: (b) => b.top("K"),
    },
    {
      name: "a third of many, few scores",
      setting: { batch: 2, tokens: 517, lengths: [517, 400], axes: { K: top(ceilOf(1, 3)) } },
      build: (b) =>
        b.top(
          "K",
          b.rows([], [], "f32", (r) => r.below(5)),
        ),
    },
    { name: "f16", setting: { ...SEVEN, axes: { K: top(2) } }, build: (b) => b.top("K", b.rows([], [], "f16")) },
    {
      name: "a live share",
      setting: {
        ...SEVEN,
        live: { capacity: rational(1, 2) },
        axes: { K: top(applySize("ceil", [multiplySizes(liveSize("capacity"), axisSize("T"))])) },
      },
      build: (b) => b.top("K"),
    },
    {
      name: "of chosen rows, counted by the input",
      setting: { ...SEVEN, axes: { K: top(ceilOf(2, 3)), L: top(ceilOf(1, 3), "K") } },
      build: (b) => (b.top("K"), b.top("L", b.node("take", [b.rows([], []), b.index("K")], { dim: 0 }))),
    },
    {
      name: "of rows above a threshold",
      setting: { ...SEVEN, axes: { A: above, L: top(ceilOf(1, 2, "A"), "A") } },
      build: (b) => {
        const score = b.rows([], []);
        b.above("A", score, b.data("f32", [], [0]));
        return b.top("L", b.node("take", [b.rows([], []), b.index("A")], { dim: 0 }));
      },
    },
  ]),
  top_rows: within(exact, [
    {
      name: "worked by hand: ties, zeros and NaN",
      setting: { tokens: 4, axes: { K: top(2) } },
      build: (b) => b.topRows("K", b.rows([], [3], "f32", [1, -0, nan, 3, 0, 1, 2, -0, nan, 4, 1, nan])),
      expected: [
        [0, 1, 1, 1, 0, 1, 0, 0, 0, 1, 1, 0],
        [0, 2],
      ],
    },
    ...[0, 1, 3, 100].map((k) => ({
      name: `${k} of unequal lengths`,
      setting: { ...UNEQUAL, axes: { K: top(k) } },
      build: (b: Bench) => b.topRows("K", columns(b, 5)),
    })),
    {
      name: "one column",
      setting: { ...SEVEN, axes: { K: top(ceilOf(1, 3)) } },
      build: (b) => b.topRows("K", columns(b, 1)),
    },
    {
      name: "an eighth of seven sequences",
      setting: { batch: 7, tokens: 67, lengths: [67, 1, 0, 64, 65, 8, 9], axes: { K: top(ceilOf(1, 8)) } },
      build: (b) => b.topRows("K", b.rows([], [4])),
    },
    {
      name: "of f16",
      setting: { ...UNEQUAL, axes: { K: top(2) } },
      build: (b) => b.topRows("K", b.rows([], [3], "f16")),
    },
    {
      name: "of rows above a threshold",
      setting: { ...SEVEN, axes: { A: above, L: top(ceilOf(1, 2, "A"), "A") } },
      build: (b) => {
        b.above("A", b.rows([], []), b.data("f32", [], [0]));
        return b.topRows("L", b.node("take", [columns(b, 3), b.index("A")], { dim: 0 }));
      },
    },
  ]),
  above: within(exact, [
    // −0 and 0 exceed neither themselves nor one another.
    exceed([0, -0, 1e-3, -1e-3], -0, [2]),
    exceed([0, -0, 1e-3, -1e-3], 0, [2]),
    exceed([1, -1, 0, 2], 0, [0, 3]),
    exceed([nan, inf, -inf, 0.5], 0.25, [1, 3]),
    exceed([0, -0], 0, []),
    exceed([1, 2, 3], nan, []),
    exceed([inf, 1], inf, []),
    exceed([1, 2, 3], -inf, [0, 1, 2]),
    exceed([5], 1, [0]),
    {
      name: "unequal lengths",
      setting: { ...SEVEN, axes: { A: above } },
      build: (b) => b.above("A", b.rows([], []), b.data("f32", [], [0.1])),
    },
    {
      name: "none of many",
      setting: { ...UNEQUAL, axes: { A: above } },
      build: (b) => b.above("A", b.rows([], []), b.data("f32", [], [100])),
      expected: [[], [0, 0, 0, 0]],
    },
    {
      name: "a threshold for each",
      setting: { ...SEVEN, axes: { A: above } },
      build: (b) => b.above("A", b.rows([], []), b.rows([], [])),
    },
    {
      name: "many tokens",
      setting: { batch: 2, tokens: 517, lengths: [517, 300], axes: { A: above } },
      build: (b) => b.above("A", b.rows([], []), b.data("f32", [], [0])),
    },
    {
      name: "f16",
      setting: { ...UNEQUAL, axes: { A: above } },
      build: (b) => b.above("A", b.rows([], [], "f16"), b.data("f16", [], [0])),
    },
  ]),
  span: within(exact, [
    slice("the middle", { tokens: 5 }, span(1, 3), [
      [1, 2],
      [0, 2],
    ]),
    slice("the last two, unequal lengths", UNEQUAL, span(-2, null), [
      [0, 1, 4, 5, 0, 0],
      [0, 2, 4, 4],
    ]),
    slice("beyond the end", UNEQUAL, span(3, 9), [
      [0, 5, 0],
      [0, 0, 1, 1],
    ]),
    slice("all but the last", SEVEN, span(0, -1), [
      [0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 6, 7, 0, 0, 9, 10, 11, 12, 14, 0, 0, 0, 16, 17, 18, 0],
      [0, 4, 4, 4, 6, 10, 11, 14],
    ]),
    slice("empty", { tokens: 3 }, span(2, 1), [[], [0, 0]]),
    slice("all", { tokens: 3 }, span(0, null), [
      [0, 1, 2],
      [0, 3],
    ]),
  ]),
  join: within(exact, [
    {
      name: "the same axis twice",
      setting: { ...UNEQUAL, axes: { J: { kind: "join", parts: ["T", "T"] } } },
      build: (b) => b.join("J"),
    },
    {
      name: "a slice and the whole",
      setting: { tokens: 3, axes: { S: span(-1, null), J: { kind: "join", parts: ["S", "T"] } } },
      build: (b) => (b.span("S"), b.join("J")),
      expected: [[0, 4], [0], [1, 2, 3]],
    },
    {
      name: "chosen rows and the whole",
      setting: { ...SEVEN, axes: { K: top(2), J: { kind: "join", parts: ["K", "T"] } } },
      build: (b) => (b.top("K"), b.join("J")),
    },
  ]),
  take: within(exact, [
    {
      name: "worked by hand",
      setting: { tokens: 4, axes: { K: top(2) } },
      build: (b) => (
        b.top("K", b.rows([], [], "f32", [1, 3, 2, 4])),
        b.node("take", [b.rows([], [2], "f32", [0, 1, 2, 3, 4, 5, 6, 7]), b.index("K")], { dim: 0 })
      ),
      expected: [[2, 3, 6, 7]],
    },
    {
      name: "single values",
      setting: { ...SEVEN, axes: { K: top(2) } },
      build: (b) => (b.top("K"), b.node("take", [b.rows([], []), b.index("K")], { dim: 0 })),
    },
    {
      name: "behind heads",
      setting: { ...SEVEN, axes: { K: top(ceilOf(1, 2)) } },
      build: (b) => (b.top("K"), b.node("take", [b.rows([3], [5]), b.index("K")], { dim: 1 })),
    },
    {
      name: "whole numbers",
      setting: { ...UNEQUAL, axes: { K: top(1) } },
      build: (b) => (b.top("K"), b.node("take", [b.rows([], [], "u32"), b.index("K")], { dim: 0 })),
    },
    {
      name: "no row",
      setting: { ...UNEQUAL, axes: { K: top(0) } },
      build: (b) => (b.top("K"), b.node("take", [b.rows([], [3]), b.index("K")], { dim: 0 })),
      expected: [[]],
    },
    {
      name: "above a threshold",
      setting: { ...SEVEN, axes: { A: above } },
      build: (b) => (
        b.above("A", b.rows([], []), b.data("f32", [], [0])),
        b.node("take", [b.rows([], [3]), b.index("A")], { dim: 0 })
      ),
    },
    {
      name: "a slice",
      setting: { ...UNEQUAL, axes: { S: span(-2, null) } },
      build: (b) => (b.span("S"), b.node("take", [b.rows([], [3], "f16"), b.index("S")], { dim: 0 })),
    },
  ]),
  put: within(rounded, [
    {
      name: "case B3 of the golden model",
      setting: { tokens: 4, axes: { K: top(2) } },
      // x = [1, 3, 2, 4]: rows 1 and 3 gain 3 · 3 and 4 · (3 + 4)/2
      build: (b) => {
        const x = b.rows([], [], "f32", [1, 3, 2, 4]);
        b.top("K", x);
        const y = b.node("take", [b.rows([], [], "f32", [0, 9, 0, 14]), b.index("K")], { dim: 0 });
        return b.node("put", [x, b.index("K"), y], { dim: 0 });
      },
      expected: [[1, 12, 2, 18]],
    },
    ...writes("put", ["f32", "f16", "u32", "i32"]),
    {
      name: "above a threshold",
      setting: { ...SEVEN, axes: { A: above } },
      build: (b) => {
        b.above("A", b.rows([], []), b.data("f32", [], [0]));
        return b.node(
          "put",
          [b.rows([], [3]), b.index("A"), b.node("take", [b.rows([], [3]), b.index("A")], { dim: 0 })],
          { dim: 0 },
        );
      },
    },
  ]),
  set: within(exact, [
    {
      name: "worked by hand",
      setting: { tokens: 4, axes: { K: top(2) } },
      build: (b) => {
        const x = b.rows([], [], "f32", [1, 3, 2, 4]);
        b.top("K", x);
        return b.node(
          "set",
          [x, b.index("K"), b.node("take", [b.rows([], [], "f32", [0, 9, 0, 14]), b.index("K")], { dim: 0 })],
          { dim: 0 },
        );
      },
      expected: [[1, 9, 2, 14]],
    },
    ...writes("set", ["f32", "f16", "u32", "bool"]),
  ]),
  route_mask: within(exact, [
    {
      name: "worked by hand",
      setting: { ...UNEQUAL, axes: { K: top(1) } },
      build: (b) => (
        b.top("K", b.rows([], [], "f32", [1, 2, 9, 7, 8, 9])),
        b.node("route_mask", [b.index("K"), b.starts("T")], { axis: "T" })
      ),
      expected: [[0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]],
    },
    {
      name: "no row",
      setting: { ...SEVEN, axes: { K: top(0) } },
      build: (b) => (b.top("K"), b.node("route_mask", [b.index("K"), b.starts("T")], { axis: "T" })),
    },
    {
      name: "above a threshold",
      setting: { ...SEVEN, axes: { A: above } },
      build: (b) => (
        b.above("A", b.rows([], []), b.data("f32", [], [0])),
        b.node("route_mask", [b.index("A"), b.starts("T")], { axis: "T" })
      ),
    },
  ]),
};
