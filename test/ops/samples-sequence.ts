// Samples of operators on sequences, rotation and attention.
import { applySize, axisSize, multiplySizes } from "../../src/size/size.js";
import type { Node } from "../../src/ir/graph.js";
import type { OpAttrs } from "../../src/ir/vocabulary.js";
import { rational } from "../../src/size/rational.js";
import { sizeOf } from "../../src/size/size.js";
import type { Bench, Setting } from "./bench.js";
import type { Sample, Samples } from "./samples.js";

const UNEQUAL = { batch: 3, tokens: 4, lengths: [2, 4, 0] } as const;
const SEVEN = { batch: 7, tokens: 5, lengths: [5, 1, 0, 3, 5, 2, 4] } as const;
/** An eighth of each sequence, rounded up. */
const EIGHTH = {
  kind: "top",
  parent: "T",
  k: applySize("ceil", [multiplySizes(sizeOf(rational(1, 8)), axisSize("T"))]),
} as const;
const TOP_1 = { kind: "top", parent: "T", k: 1 } as const;
const TOP_2 = { kind: "top", parent: "T", k: 2 } as const;
const NONE = { kind: "top", parent: "T", k: 0 } as const;

/** What an attention is of. */
export interface Heads {
  readonly heads: number;
  readonly groups?: number;
  readonly width: number;
  readonly outWidth?: number;
  readonly causal?: boolean;
  readonly window?: number;
  /** The axes of queries and keys. */
  readonly queries?: string;
  readonly keys?: string;
  readonly dtype?: "f32" | "f16";
}

/**
 * The inputs of an attention of random heads; axes other than T are chosen first. `rowsOn`: further heads on one of its
 * axes.
 */
export function attentionInputs(
  b: Bench,
  {
    heads,
    groups = heads,
    width,
    outWidth = width,
    causal = true,
    window = 0,
    queries = "T",
    keys = "T",
    dtype = "f32",
  }: Heads,
): {
  readonly inputs: readonly Node[];
  readonly attrs: OpAttrs["attention"];
  readonly rowsOn: (axis: string, count: number, width: number) => Node;
} {
  for (const axis of new Set([queries, keys])) if (axis !== "T") b.top(axis);
  const rowsOn = (axis: string, count: number, w: number): Node => {
    const x = b.rows([count], [w], dtype);
    return axis === "T" ? x : b.node("take", [x, b.index(axis)], { dim: 1 });
  };
  const [q, k, v] = [rowsOn(queries, heads, width), rowsOn(keys, groups, width), rowsOn(keys, groups, outWidth)];
  return {
    inputs: [q, k, v, b.starts(queries), b.starts(keys), b.positions(queries), b.positions(keys)],
    attrs: { causal, window, scale: 1 / Math.sqrt(width) },
    rowsOn,
  };
}

function attention(b: Bench, heads: Heads): Node<"attention"> {
  const { inputs, attrs } = attentionInputs(b, heads);
  return b.node("attention", inputs, attrs);
}

const attends = (name: string, setting: Setting, heads: Heads): Sample<"attention"> => ({
  name,
  setting,
  build: (b) => attention(b, heads),
});

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

type Family =
  | "positions"
  | "segments"
  | "append"
  | "counts"
  | "last"
  | "unpack"
  | "pack"
  | "mask"
  | "rope"
  | "attention";

export const sequenceSamples: Samples<Family> = {
  positions: [
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
  ],
  segments: [
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
  ],
  append: [
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
  ],
  counts: [
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
  ],
  last: [
    {
      name: "unequal lengths",
      setting: { batch: 3, tokens: 4, lengths: [2, 4, 1], axes: { S: TOP_1 } },
      build: (b) => (b.top("S"), b.node("last", [b.starts("T")], { axis: "S" })),
      expected: [[1, 5, 6]],
    },
  ],
  unpack: [
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
  ],
  pack: [
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
  ],
  mask: [
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
  ],
  rope: [
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
            b.node("rope_table", [], { positions: axisSize("T"), width: 2, theta: 10000, frequencies: null, scale: 1 }),
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
  attention: [
    {
      name: "equal scores: the mean so far",
      setting: { tokens: 3 },
      build: (b) => {
        const flat = b.rows([1], [1], "f32", () => 0);
        const v = b.node("reshape", [b.rows([], [], "f32", [1, 3, 8])], {
          shape: [1, b.positions("T").types[0]!.shape[0]!, 1],
        });
        return b.node("attention", [flat, flat, v, b.starts("T"), b.starts("T"), b.positions("T"), b.positions("T")], {
          causal: true,
          window: 0,
          scale: 1,
        });
      },
      expected: [[1, 2, 4]],
    },
    {
      name: "a key far ahead wins",
      setting: { tokens: 2 },
      build: (b) => {
        const x = b.node("reshape", [b.rows([], [], "f32", [1, 1000])], {
          shape: [1, b.positions("T").types[0]!.shape[0]!, 1],
        });
        return b.node("attention", [x, x, x, b.starts("T"), b.starts("T"), b.positions("T"), b.positions("T")], {
          causal: false,
          window: 0,
          scale: 1,
        });
      },
      expected: [[1000, 1000]],
    },
    attends("causal, one head", { tokens: 7 }, { heads: 1, width: 5 }),
    attends("causal, unequal lengths", UNEQUAL, { heads: 2, width: 8 }),
    attends("causal, seven sequences", SEVEN, { heads: 3, width: 4 }),
    attends("one token", {}, { heads: 2, width: 3 }),
    attends("not causal", SEVEN, { heads: 2, width: 7, causal: false }),
    attends("groups of heads", UNEQUAL, { heads: 6, groups: 2, width: 4 }),
    attends("values of another width", SEVEN, { heads: 2, width: 4, outWidth: 11 }),
    attends("a causal window of 2", SEVEN, { heads: 2, width: 4, window: 2 }),
    attends("a window of 3 on both sides", SEVEN, { heads: 2, width: 4, window: 3, causal: false }),
    attends("a window of 1", SEVEN, { heads: 1, width: 4, window: 1 }),
    attends("f16", UNEQUAL, { heads: 2, width: 8, dtype: "f16" }),
    attends("many tokens", { batch: 2, tokens: 67, lengths: [67, 31] }, { heads: 2, groups: 1, width: 16 }),
    attends(
      "several blocks of keys and tiles of queries",
      { batch: 3, tokens: 150, lengths: [150, 33, 70] },
      { heads: 1, width: 64 },
    ),
    attends(
      "a window over several blocks",
      { batch: 2, tokens: 150, lengths: [150, 90] },
      { heads: 1, width: 8, window: 40 },
    ),
    attends(
      "a window over several blocks on both sides",
      { batch: 2, tokens: 150, lengths: [150, 90] },
      { heads: 1, width: 8, window: 40, causal: false },
    ),
    attends(
      "five heads that share keys, in tiles of eight",
      { batch: 2, tokens: 45, lengths: [45, 7] },
      { heads: 5, groups: 1, width: 12, outWidth: 100 },
    ),
    attends("heads of 256", { batch: 2, tokens: 40, lengths: [40, 3] }, { heads: 2, width: 256 }),
    attends("wider heads than fit beside seven others", { tokens: 9 }, { heads: 1, width: 600, outWidth: 300 }),
    attends(
      "one chosen query among many keys",
      { batch: 3, tokens: 150, lengths: [150, 33, 0], axes: { K: TOP_1 } },
      { heads: 4, groups: 2, width: 32, queries: "K" },
    ),
    attends(
      "an eighth of the rows, by position",
      { batch: 2, tokens: 150, lengths: [150, 80], axes: { K: EIGHTH } },
      { heads: 2, width: 8, window: 50, queries: "K", keys: "K" },
    ),
    attends("chosen rows", { ...SEVEN, axes: { K: TOP_2 } }, { heads: 2, width: 4, queries: "K", keys: "K" }),
    attends(
      "chosen rows with a window by position",
      { batch: 2, tokens: 31, lengths: [31, 17], axes: { K: EIGHTH } },
      { heads: 2, width: 4, queries: "K", keys: "K", window: 7 },
    ),
    attends(
      "chosen keys only: some queries see none",
      { ...SEVEN, axes: { K: TOP_2 } },
      { heads: 2, width: 4, keys: "K" },
    ),
    attends("chosen queries only", { ...SEVEN, axes: { K: TOP_2 } }, { heads: 2, width: 4, queries: "K" }),
    attends("no keys at all", { ...UNEQUAL, axes: { K: NONE } }, { heads: 2, width: 4, keys: "K" }),
    attends("no queries at all", { ...UNEQUAL, axes: { K: NONE } }, { heads: 2, width: 4, queries: "K" }),
  ],
};
