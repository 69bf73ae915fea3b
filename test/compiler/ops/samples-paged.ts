// Samples of caches in pages: pools in which the pages of sequences lie in no order.
import type { Node } from "../../../src/compiler/ir/graph.js";
import type { Bench, Setting } from "./bench.js";
import { attentionSamples } from "./samples-attention.js";
import type { Sample, Samples } from "./samples.js";
import { exact, within } from "./tolerance.js";

const UNEQUAL = { batch: 3, tokens: 4, lengths: [2, 4, 0] } as const;
const LONG = { batch: 5, tokens: 40, lengths: [40, 1, 0, 23, 32] } as const;
const TOP_2 = { kind: "top", parent: "T", k: 2 } as const;
const NONE = { kind: "top", parent: "T", k: 0 } as const;

/** Pages of each sequence: those of the pool in a scattered order, each once. */
const scattered = (batch: number, each: number): readonly number[] => {
  const all = batch * each;
  return Array.from({ length: all }, (_, i) => (i * 7 + 3) % all);
};

/** The pages of every sequence of the setting, so many each; 7 may not divide their number. */
const pagesOf = (b: Bench, each: number): Node => b.each([each], "u32", scattered(b.setting.batch ?? 1, each));

const countsOf = (b: Bench, axis: string): Node => b.node("counts", [b.starts(axis)], {});

const appends = (name: string, setting: Setting, axis: string, each: number, page: number): Sample<"paged_append"> => ({
  name,
  setting,
  build(b) {
    if (axis !== "T") b.top(axis);
    return b.node("paged_append", [countsOf(b, "T"), b.starts(axis), pagesOf(b, each)], { axis, page });
  },
});

/** The keys of each sequence on T, of pools with their own positions or without. */
function keys(b: Bench, each: number, page: number, held: boolean): Node<"paged_keys"> {
  const rows = (b.setting.batch ?? 1) * each * page;
  const positions = held
    ? [
        b.data(
          "u32",
          [rows],
          Array.from({ length: rows }, (_, i) => 3 * (i % page) + 1),
        ),
      ]
    : [];
  return b.node("paged_keys", [b.starts("T"), countsOf(b, "T"), pagesOf(b, each), ...positions], { axis: "T", page });
}

interface Pool {
  readonly heads: number;
  readonly groups?: number;
  readonly width: number;
  readonly outWidth?: number;
  readonly page: number;
  readonly window?: number;
  readonly dtype?: "f32" | "f16";
}

const attends = (
  name: string,
  setting: Setting,
  { heads, groups = heads, width, outWidth = width, page, window = 0, dtype = "f32" }: Pool,
): Sample<"paged_attention"> => ({
  name,
  setting,
  build(b) {
    const { batch = 1, tokens = 1 } = b.setting;
    const each = Math.ceil(tokens / page);
    const pool = (w: number): Node => b.data(dtype, [groups, batch * each * page, w]);
    const [q, k, v] = [b.rows([heads], [width], dtype), pool(width), pool(outWidth)];
    const table = keys(b, each, page, false);
    return b.node("paged_attention", [q, k, v, b.starts("T"), b.starts("T"), b.positions("T"), table], {
      causal: true,
      window,
      scale: 1 / Math.sqrt(width),
    });
  },
});

/** Samples of caches in pages. */
export const pagedSamples: Samples<"paged_append" | "paged_keys" | "paged_attention"> = {
  paged_append: within(exact, [
    {
      ...appends("behind as many as there are", UNEQUAL, "T", 4, 2),
      // Pages [3, 10, 5, 0], [7, 2, 9, 4]: rows 2 and 3 of the first lie in page 10, rows 4 to 7 of the second in 9, 4.
      expected: [[20, 21, 0, 0, 18, 19, 8, 9, 0, 0, 0, 0]],
    },
    appends("a route of unequal counts", { ...LONG, axes: { K: TOP_2 } }, "K", 6, 8),
    { ...appends("an empty route", { ...UNEQUAL, axes: { K: NONE } }, "K", 4, 2), expected: [[]] },
  ]),
  paged_keys: within(exact, [
    { name: "positions in order", setting: UNEQUAL, build: (b) => keys(b, 4, 2, false) },
    { name: "positions of the pool", setting: LONG, build: (b) => keys(b, 6, 8, true) },
  ]),
  paged_attention: within(attentionSamples.attention.tolerance, [
    attends("unequal lengths", UNEQUAL, { heads: 2, width: 8, page: 2 }),
    attends("several pages, groups of heads", LONG, { heads: 6, groups: 2, width: 16, page: 8 }),
    attends("odd widths, a window", LONG, { heads: 1, width: 5, outWidth: 7, page: 16, window: 9 }),
    attends("f16", LONG, { heads: 2, width: 8, page: 4, dtype: "f16" }),
  ]),
};
