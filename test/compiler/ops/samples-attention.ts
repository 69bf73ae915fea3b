// Samples for attention and for its gradient.
import type { Node } from "../../../src/compiler/ir/graph.js";
import type { OpAttrs } from "../../../src/compiler/ir/vocabulary.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import { applySize, axisSize, multiplySizes, sizeOf } from "../../../src/ground/size/size.js";
import type { Bench, Setting } from "./bench.js";
import type { Sample, Samples } from "./samples.js";
import { within } from "./tolerance.js";

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
  /** What the weights of keys are drawn from; without it there are none. */
  readonly weights?: readonly number[];
}

/** Inputs of an attention of random heads; axes other than T are chosen first. `rowsOn` makes more heads on an axis. */
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
    weights,
  }: Heads,
): {
  readonly inputs: readonly Node[];
  readonly attrs: OpAttrs["attention"];
  readonly rowsOn: (axis: string, count: number, width: number) => Node;
  /** The weights of keys, if any. */
  readonly weights: readonly Node[];
} {
  for (const axis of new Set([queries, keys])) if (axis !== "T") b.top(axis);
  const rowsOn = (axis: string, count: number, w: number): Node => {
    const x = b.rows([count], [w], dtype);
    return axis === "T" ? x : b.node("take", [x, b.index(axis)], { dim: 1 });
  };
  const weightsOn = (values: readonly number[]): Node => {
    const x = b.rows([], [], "f32", (random) => values[random.below(values.length)]!);
    return keys === "T" ? x : b.node("take", [x, b.index(keys)], { dim: 0 });
  };
  const [q, k, v] = [rowsOn(queries, heads, width), rowsOn(keys, groups, width), rowsOn(keys, groups, outWidth)];
  return {
    inputs: [q, k, v, b.starts(queries), b.starts(keys), b.positions(queries), b.positions(keys)],
    attrs: { causal, window, scale: 1 / Math.sqrt(width) },
    rowsOn,
    weights: weights ? [weightsOn(weights)] : [],
  };
}

function attention(b: Bench, heads: Heads): Node<"attention"> {
  const { inputs, weights, attrs } = attentionInputs(b, heads);
  return b.node("attention", [...inputs, ...weights], attrs);
}

const attends = (name: string, setting: Setting, heads: Heads): Sample<"attention"> => ({
  name,
  setting,
  build: (b) => attention(b, heads),
});

const keeps = (name: string, setting: Setting, heads: Heads): Sample<"attention_kept"> => ({
  name,
  setting,
  build(b) {
    const { inputs, weights, attrs } = attentionInputs(b, heads);
    return b.node("attention_kept", [...inputs, ...weights], attrs);
  },
});

/** The gradient of an attention that was run, for random dy. */
const differentiates = (name: string, setting: Setting, heads: Heads): Sample<"attention_grad"> => ({
  name,
  setting,
  build(b) {
    const { inputs, weights, attrs, rowsOn } = attentionInputs(b, heads);
    const kept = b.node("attention_kept", [...inputs, ...weights], attrs);
    const [y, lse] = [b.emit.pick(kept, 0), b.emit.pick(kept, 1)];
    const dy = rowsOn(heads.queries ?? "T", heads.heads, heads.outWidth ?? heads.width);
    const product = b.node("cast", [b.node("mul", [dy, y], {})], { dtype: "f32" });
    const delta = b.node("sum", [product], { axes: [2], keep: false });
    return b.node("attention_grad", [...inputs, lse, delta, dy, ...weights], attrs);
  },
});

/** Weights of keys: of 0 and below, 1, and others. */
const WEIGHTS = [1, 0, 0.5, 2.5, -1, 0, 1] as const;
const WEIGHTED: readonly (readonly [string, Setting, Heads])[] = [
  ["weights, causal", UNEQUAL, { heads: 2, width: 8, weights: WEIGHTS }],
  ["weights, groups of heads", SEVEN, { heads: 6, groups: 2, width: 4, outWidth: 7, causal: false, weights: WEIGHTS }],
  [
    "weights, several blocks of keys and a window",
    { batch: 3, tokens: 100, lengths: [100, 33, 70] },
    { heads: 2, groups: 1, width: 64, window: 60, weights: WEIGHTS },
  ],
  ["weights of chosen keys", { ...SEVEN, axes: { K: TOP_2 } }, { heads: 2, width: 4, keys: "K", weights: WEIGHTS }],
  ["weights of 0 alone", UNEQUAL, { heads: 2, width: 4, weights: [0, -1] }],
  ["weights, f16", UNEQUAL, { heads: 2, width: 8, dtype: "f16", weights: WEIGHTS }],
  ["weights, wide heads", { tokens: 9 }, { heads: 1, width: 300, outWidth: 160, weights: WEIGHTS }],
];

const SHAPES: readonly (readonly [string, Setting, Heads])[] = [
  ["causal, unequal lengths", UNEQUAL, { heads: 2, width: 8 }],
  ["one token", {}, { heads: 2, width: 3 }],
  ["not causal", SEVEN, { heads: 2, width: 7, causal: false }],
  ["groups of heads", UNEQUAL, { heads: 6, groups: 2, width: 4 }],
  ["values of another width", SEVEN, { heads: 2, width: 4, outWidth: 11 }],
  ["a window of 3 on both sides", SEVEN, { heads: 2, width: 4, window: 3, causal: false }],
  ["several tiles", { batch: 3, tokens: 100, lengths: [100, 33, 70] }, { heads: 1, width: 64 }],
  ["a window over several blocks", { batch: 2, tokens: 100, lengths: [100, 90] }, { heads: 1, width: 8, window: 40 }],
  [
    "a window over several blocks on both sides",
    { batch: 2, tokens: 100, lengths: [100, 90] },
    { heads: 1, width: 8, window: 40, causal: false },
  ],
  [
    "five heads that share keys",
    { batch: 2, tokens: 45, lengths: [45, 7] },
    { heads: 5, groups: 1, width: 12, outWidth: 36 },
  ],
  ["wide heads", { tokens: 9 }, { heads: 1, width: 300, outWidth: 160 }],
  [
    "an eighth of the rows, by position",
    { batch: 2, tokens: 150, lengths: [150, 80], axes: { K: EIGHTH } },
    { heads: 2, width: 8, window: 50, queries: "K", keys: "K" },
  ],
  ["chosen keys only: some queries see none", { ...SEVEN, axes: { K: TOP_2 } }, { heads: 2, width: 4, keys: "K" }],
  ["chosen queries only", { ...SEVEN, axes: { K: TOP_2 } }, { heads: 2, width: 4, queries: "K" }],
  ["no keys at all", { ...UNEQUAL, axes: { K: NONE } }, { heads: 2, width: 4, keys: "K" }],
  ["no queries at all", { ...UNEQUAL, axes: { K: NONE } }, { heads: 2, width: 4, queries: "K" }],
  ["f16", UNEQUAL, { heads: 2, width: 8, dtype: "f16" }],
];

/** The kernels are attention's kernels, which have enough samples. */
const KEPT: ReadonlySet<string> = new Set([
  "causal, unequal lengths",
  "groups of heads",
  "a window of 3 on both sides",
  "chosen keys only: some queries see none",
  "no keys at all",
  "f16",
]);

const receives = (name: string, setting: Setting, heads: Heads): Sample<"received"> => ({
  name,
  setting,
  build(b) {
    const { inputs, attrs } = attentionInputs(b, heads);
    return b.node("received", [...inputs.slice(0, 2), ...inputs.slice(3)], attrs);
  },
});

export const attentionSamples: Samples<"attention" | "attention_kept" | "attention_grad" | "received"> = {
  received: within(
    {
      relative: 3e-6,
      absolute: 2e-6,
      why: "as attention: shares are exponentials of differences of scores, which are sums of products",
    },
    [
      {
        name: "equal scores: each query gives every key it sees the same",
        setting: { tokens: 4 },
        build: (b) => {
          const flat = b.rows([1], [1], "f32", () => 0);
          const rows = [b.starts("T"), b.starts("T"), b.positions("T"), b.positions("T")];
          return b.node("received", [flat, flat, ...rows], { causal: true, window: 2, scale: 1 });
        },
        expected: [[1.5, 1, 1, 0.5]],
      },
      ...SHAPES.map((shape) => receives(...shape)),
    ],
  ),
  attention: within(
    {
      relative: 3e-6,
      absolute: 2e-6,
      why: "scores are sums of products, their errors pass through exp, and weights are scaled as larger scores come",
    },
    [
      {
        name: "equal scores: the mean so far",
        setting: { tokens: 3 },
        build: (b) => {
          const flat = b.rows([1], [1], "f32", () => 0);
          const v = b.node("reshape", [b.rows([], [], "f32", [1, 3, 8])], {
            shape: [1, b.positions("T").types[0]!.shape[0]!, 1],
          });
          return b.node(
            "attention",
            [flat, flat, v, b.starts("T"), b.starts("T"), b.positions("T"), b.positions("T")],
            {
              causal: true,
              window: 0,
              scale: 1,
            },
          );
        },
        expected: [[1, 2, 4]],
      },
      {
        name: "weighted means, and zeros where nothing weighs anything",
        setting: { tokens: 4 },
        build: (b) => {
          const flat = b.rows([1], [1], "f32", () => 0);
          const v = b.node("reshape", [b.rows([], [], "f32", [8, 1, 3, 7])], {
            shape: [1, b.positions("T").types[0]!.shape[0]!, 1],
          });
          const weights = b.rows([], [], "f32", [0, 1, 3, -1]);
          const rows = [b.starts("T"), b.starts("T"), b.positions("T"), b.positions("T")];
          const attrs = { causal: true, window: 0, scale: 1 };
          return b.node("attention", [flat, flat, v, ...rows, weights], attrs);
        },
        expected: [[0, 1, 2.5, 2.5]],
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
      ...WEIGHTED.map((sample) => attends(...sample)),
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
  ),
  attention_kept: within(
    {
      relative: 3e-6,
      absolute: 2e-6,
      why: "as attention; the logarithm of a sum of exponentials is as good as the scores",
    },
    [...SHAPES.filter(([name]) => KEPT.has(name)), ...WEIGHTED].map((shape) => keeps(...shape)),
  ),
  attention_grad: within(
    {
      relative: 1e-5,
      absolute: 1e-5,
      why:
        "weights are exp of a difference of scores; products with them, from which a sum of the same size is " +
        "taken, are summed up where terms cancel",
    },
    [...SHAPES, ...WEIGHTED].map((shape) => differentiates(...shape)),
  ),
};
