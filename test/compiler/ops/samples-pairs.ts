// Samples for attention that reads pairs of tokens, and for its gradient.
import type { Node } from "../../../src/compiler/ir/graph.js";
import type { Pair, PairSide, PairStep } from "../../../src/compiler/ir/pair.js";
import { axisSize, rowsSize } from "../../../src/ground/size/size.js";
import type { Bench, Setting } from "./bench.js";
import { attentionInputs, type Heads } from "./samples-attention.js";
import type { Sample, Samples } from "./samples.js";
import { within } from "./tolerance.js";

const UNEQUAL = { batch: 3, tokens: 4, lengths: [2, 4, 0] } as const;
const SEVEN = { batch: 7, tokens: 5, lengths: [5, 1, 0, 3, 5, 2, 4] } as const;
const LONG = { batch: 3, tokens: 90, lengths: [90, 33, 70] } as const;
const TOP_2 = { kind: "top", parent: "T", k: 2 } as const;
const TOP_1 = { kind: "top", parent: "T", k: 1 } as const;

/** An operand of a pair: the side on which it lies, and its values. */
type Operand =
  | { readonly side: "query" | "key"; readonly of: "document" | "number" | "numbers of heads" | "weight" }
  | { readonly side: "table" | "pair"; readonly of: "numbers" | "numbers of heads" };

interface PairSetting {
  readonly operands: readonly Operand[];
  readonly pair: Omit<Pair, "operands">;
}

const f32 = (op: string, ...args: number[]): PairStep => ({ op, args, dtype: "f32" });
const bool = (op: string, ...args: number[]): PairStep => ({ op, args, dtype: "bool" });
const operand = (of: number, dtype: PairStep["dtype"] = "f32"): PairStep => ({ op: "operand", args: [], of, dtype });
const number = (value: number, dtype: PairStep["dtype"] = "f32"): PairStep => ({
  op: "number",
  args: [],
  value,
  dtype,
});
const NOTHING = { mask: null, bias: null, weight: null, cap: null } as const;

const DOCUMENTS: PairSetting = {
  operands: [
    { side: "query", of: "document" },
    { side: "key", of: "document" },
  ],
  pair: { ...NOTHING, steps: [operand(0, "u32"), operand(1, "u32"), bool("eq", 0, 1)], mask: 2 },
};
/** Bias: a · b + sin(a), of queries and keys of each head; keys weigh. */
const PRODUCTS: PairSetting = {
  operands: [
    { side: "query", of: "numbers of heads" },
    { side: "key", of: "number" },
    { side: "key", of: "weight" },
  ],
  pair: {
    ...NOTHING,
    steps: [operand(0), operand(1), f32("mul", 0, 1), f32("sin", 0), f32("add", 2, 3)],
    bias: 4,
    weight: 2,
    cap: 1.5,
  },
};
const KEYS_OF_HEADS: PairSetting = {
  operands: [{ side: "key", of: "numbers of heads" }],
  pair: { ...NOTHING, steps: [operand(0), f32("tanh", 0)], bias: 1 },
};
/** A table at the distance, twice: once of the other direction. */
const TABLE: PairSetting = {
  operands: [{ side: "table", of: "numbers of heads" }],
  pair: {
    ...NOTHING,
    steps: [
      { op: "position_q", args: [], dtype: "u32" },
      { op: "position_k", args: [], dtype: "u32" },
      { op: "sub", args: [0, 1], dtype: "u32" },
      { op: "lookup", args: [2], of: 0, dtype: "f32" },
      { op: "lookup", args: [1], of: 0, dtype: "f32" },
      number(0.5),
      f32("mul", 4, 5),
      f32("add", 3, 6),
    ],
    bias: 7,
  },
};
const STORED: PairSetting = {
  operands: [{ side: "pair", of: "numbers" }],
  pair: { ...NOTHING, steps: [operand(0), number(0.2), bool("gt", 0, 1), f32("exp", 0)], mask: 2, bias: 3 },
};
const TWO_STORED: PairSetting = {
  operands: [
    { side: "pair", of: "numbers" },
    { side: "pair", of: "numbers" },
  ],
  pair: {
    ...NOTHING,
    steps: [operand(0), operand(1), number(0.2), bool("gt", 0, 2), f32("sin", 1), f32("mul", 0, 4)],
    mask: 3,
    bias: 5,
  },
};
const NONE: PairSetting = {
  operands: [],
  pair: { ...NOTHING, steps: [number(0, "bool")], mask: 0 },
};

function operandsOf(b: Bench, { heads, queries = "T", keys = "T" }: Heads, { operands }: PairSetting): readonly Node[] {
  return operands.map(({ side, of }) => {
    const axis = side === "query" ? queries : keys;
    const taken = (x: Node, dim: number): Node => (axis === "T" ? x : b.node("take", [x, b.index(axis)], { dim }));
    if (of === "document")
      return taken(
        b.rows([], [], "u32", (random) => random.below(2)),
        0,
      );
    if (of === "weight")
      return taken(
        b.rows([], [], "f32", (random) => [1, 0, 0.5, -1][random.below(4)]!),
        0,
      );
    if (side === "table") return b.data("f32", [7, heads]);
    if (side === "pair") {
      const one = b.rows([], [], "f32");
      const column = b.node("reshape", [taken(one, 0)], { shape: [rowsSize(queries), 1] });
      return b.node("broadcast", [column], { shape: [rowsSize(queries), axisSize(keys)] });
    }
    return of === "number" ? taken(b.rows([], [], "f32"), 0) : taken(b.rows([heads], [], "f32"), 1);
  });
}

function attended(b: Bench, heads: Heads, setting: PairSetting) {
  const { inputs, attrs, rowsOn } = attentionInputs(b, heads);
  const operands = operandsOf(b, heads, setting);
  const sides = setting.operands.map(({ side }): PairSide => side);
  const given = { ...attrs, pair: { ...setting.pair, operands: sides } };
  return { inputs: [...inputs, ...operands], attrs: given, rowsOn };
}

const SHAPES: readonly (readonly [string, Setting, Heads, PairSetting])[] = [
  ["documents, unequal lengths", UNEQUAL, { heads: 2, width: 8, causal: false }, DOCUMENTS],
  ["documents, several blocks of keys, causal", LONG, { heads: 2, groups: 1, width: 12 }, DOCUMENTS],
  ["a cap, a bias and weights of groups of heads", SEVEN, { heads: 4, groups: 2, width: 4, outWidth: 7 }, PRODUCTS],
  ["a bias by keys of each head", SEVEN, { heads: 3, width: 5, causal: false }, KEYS_OF_HEADS],
  ["a table of heads", SEVEN, { heads: 2, groups: 1, width: 4 }, TABLE],
  ["numbers in memory", UNEQUAL, { heads: 2, width: 4, causal: false }, STORED],
  ["two tensors in memory", UNEQUAL, { heads: 2, width: 4, causal: false }, TWO_STORED],
  ["documents, f16", UNEQUAL, { heads: 2, width: 8, dtype: "f16" }, DOCUMENTS],
  ["no key is seen", UNEQUAL, { heads: 2, width: 4 }, NONE],
  ["chosen queries", { ...SEVEN, axes: { K: TOP_2 } }, { heads: 2, width: 4, queries: "K" }, DOCUMENTS],
  [
    "one chosen query of documents among many keys",
    { ...LONG, axes: { K: TOP_1 } },
    { heads: 4, groups: 2, width: 40, outWidth: 36, queries: "K" },
    DOCUMENTS,
  ],
  [
    "one chosen query, a cap, a bias and weights",
    { ...SEVEN, axes: { K: TOP_1 } },
    { heads: 4, groups: 2, width: 4, queries: "K" },
    PRODUCTS,
  ],
  ["chosen keys, a window", { ...SEVEN, axes: { K: TOP_2 } }, { heads: 2, width: 4, keys: "K", window: 3 }, PRODUCTS],
];

const attends = (...[name, setting, heads, pair]: (typeof SHAPES)[number]): Sample<"pair_attention"> => ({
  name,
  setting,
  build(b) {
    const { inputs, attrs } = attended(b, heads, pair);
    return b.node("pair_attention", inputs, attrs);
  },
});

/** The gradient of an attention that was run, for random dy. */
const differentiates = (...[name, setting, heads, pair]: (typeof SHAPES)[number]): Sample<"pair_attention_grad"> => ({
  name,
  setting,
  build(b) {
    const { inputs, attrs, rowsOn } = attended(b, heads, pair);
    const kept = b.node("pair_attention", inputs, attrs);
    const [y, lse] = [b.emit.pick(kept, 0), b.emit.pick(kept, 1)];
    const dy = rowsOn(heads.queries ?? "T", heads.heads, heads.outWidth ?? heads.width);
    const product = b.node("cast", [b.node("mul", [dy, y], {})], { dtype: "f32" });
    const delta = b.node("sum", [product], { axes: [2], keep: false });
    return b.node("pair_attention_grad", [...inputs, lse, delta, dy], attrs);
  },
});

export const pairSamples: Samples<"pair_attention" | "pair_attention_grad"> = {
  pair_attention: within(
    {
      relative: 6e-6,
      absolute: 4e-6,
      why: "as attention, with scores that are sums of a product and a bias",
    },
    SHAPES.map((shape) => attends(...shape)),
  ),
  pair_attention_grad: within(
    {
      relative: 2e-5,
      absolute: 2e-5,
      why: "as attention's gradient: sums over keys or queries of products of shares and differences of sums",
    },
    // In f16 the sample's own y, which delta reads, may differ by one f16 value.
    SHAPES.filter(([, , heads]) => heads.dtype !== "f16").map((shape) => differentiates(...shape)),
  ),
};
