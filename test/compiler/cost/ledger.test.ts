// The ledger against figures that were published, and against sums done by hand.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { groupOf } from "../../../src/compiler/cost/group.js";
import { ledger, stepsWithin, type Ledger, type LedgerOptions } from "../../../src/compiler/cost/ledger.js";
import { optimized, type Optimized } from "../../optimized.js";

const root = join(import.meta.dirname, "../../..");

interface Case extends Partial<Omit<LedgerOptions, "extents">> {
  readonly set?: Readonly<Record<string, string>>;
  readonly B?: number;
  readonly T: number;
}

const ledgerOfExample = (name: string, options: Case): Ledger =>
  ledgerOf(name, readFileSync(join(root, "examples", name), "utf8"), options);

/** By text and parameters: deep models are asked of again and again. */
const known = new Map<string, Optimized>();
afterAll(() => known.clear());

function ledgerOf(file: string, text: string, { set = {}, B = 1, T, ...options }: Case): Ledger {
  const key = JSON.stringify([text, set]);
  const { graph, model } = known.get(key) ?? optimized(text, { file, set, verify: false });
  known.set(key, { graph, model });
  return ledger(graph, model, {
    extents: new Map([
      ["B", B],
      ["T", T],
    ]),
    ...options,
  });
}

describe("rows", () => {
  it("are in the order in which the model declares them", () => {
    const text = readFileSync(join(root, "examples/inputs/translate.mod"), "utf8");
    const { graph, model } = optimized(text, { file: "translate.mod", verify: false });
    const extents = new Map(["B", "S", "T"].map((axis) => [axis, 4]));
    const names = ledger(graph, model, { extents }).rows.map(({ name }) => name);
    const layers = [0, 1, 2, 3].map((i) => `decoder.${i}`);
    const declared = ["embed", "encoder.0", "encoder.1", "memory_norm", ...layers, "norm", "(model)"];
    expect(names.filter((name) => declared.includes(name))).toEqual(declared);
  });
});

describe("Mixture-of-Recursions (arXiv 2507.10524)", () => {
  /** Forward operations the authors trained with, and the tokens of a step: 1024 sequences of 2048. */
  const BUDGET = 16.5e18;
  const STEP_TOKENS = 1024 * 2048;
  const plain = { routed: "false" };
  // layers shared between a first and a last one × recursions
  it.each([
    ["vanilla", { layers: "30", recursions: "1", ...plain }, 9438],
    ["recursive-2", { layers: "15", recursions: "2", ...plain }, 9438],
    ["recursive-3", { layers: "10", recursions: "3", ...plain }, 9438],
    ["recursive-4", { layers: "8", recursions: "4", ...plain }, 8883],
    ["MoR-2", { layers: "15", recursions: "2" }, 12619],
    // The paper prints 14161: the paper's own formula gives 14160 with capacities of exactly 1, 2/3 and 1/3.
    ["MoR-3", { layers: "10", recursions: "3" }, 14160],
    ["MoR-4", { layers: "8", recursions: "4" }, 14216],
    ["MoR-3 with shared keys and values", { layers: "10", recursions: "3", share_kv: "true" }, 14672],
  ])("%s trains the published number of steps", (_name, set, steps) => {
    const found = ledgerOfExample("mor.mod", { set, T: 2048, convention: "mor" });
    expect(Math.round(stepsWithin(BUDGET, found, STEP_TOKENS))).toBe(steps);
  });

  it.each([
    [30, 1, 315],
    [15, 2, 167],
    [10, 3, 118],
    [8, 4, 98],
  ])(
    "%i layers used %i times: the published millions of parameters besides the embedding (table 3)",
    (layers, recursions, millions) => {
      const { total, embeddingParameters } = ledgerOfExample("mor.mod", {
        set: { layers: String(layers), recursions: String(recursions) },
        T: 2048,
      });
      expect(Math.round((total.parameters - embeddingParameters) / 1e6)).toBe(millions);
    },
  );

  it("operations at the tokens that give the vanilla model its budget: 16.5, 12.3, 11.0, 11.0 · 10^18 (table 3)", () => {
    const perToken = (set: Record<string, string>): number => {
      const { total, tokens } = ledgerOfExample("mor.mod", { set, T: 2048, convention: "mor" });
      return total.executed.flops / tokens;
    };
    const tokens = BUDGET / perToken({ layers: "30", recursions: "1", ...plain });
    const routed = [
      [15, 2],
      [10, 3],
      [8, 4],
    ].map(
      ([layers, recursions]) => (perToken({ layers: String(layers), recursions: String(recursions) }) * tokens) / 1e18,
    );
    expect(routed.map((x) => x.toFixed(1))).toEqual(["12.3", "11.0", "11.0"]);
    expect(routed[2]).toBeCloseTo(10.95, 2);
  });

  it.each([
    [2, 3 / 4, 42],
    [3, 2 / 3, 48],
    [4, 5 / 8, 51],
  ])(
    "%i recursions keep %f of the cache, so that the published batch fits (appendix E)",
    (recursions, ratio, batch) => {
      const { rows } = ledgerOfExample("mor.mod", {
        set: { layers: "2", recursions: String(recursions) },
        T: 2048,
        convention: "mor",
      });
      const shared = rows.filter((row) => row.name.startsWith("shared."));
      expect(shared).toHaveLength(2);
      for (const { executed, dense } of shared) {
        expect(executed.cache / dense.cache).toBeCloseTo(ratio, 12);
        expect(Math.floor((32 * dense.cache) / executed.cache + 1e-9)).toBe(batch);
      }
    },
  );

  it("shared keys and values are cached once, however many recursions read them: 1/N", () => {
    const cache = (share_kv: string): number =>
      ledgerOfExample("mor.mod", {
        set: { layers: "2", recursions: "4", share_kv },
        T: 1024,
        convention: "mor",
      }).rows.find((row) => row.name === "shared.0")!.dense.cache;
    expect(cache("true")).toBe(cache("false") / 4);
  });
});

describe("Mixture-of-Depths, every other layer (arXiv 2404.02258)", () => {
  const smol = (capacity: string): Ledger["total"] =>
    ledgerOfExample("smollm-mod.mod", { set: { capacity }, T: 2048, convention: "mor" }).total;

  it.each([
    ["1/8", 0.5625, (1 + 1 / 64) / 2, 0.5625, 0.5542],
    ["1/2", 0.75, 0.625, 0.75, 0.7311],
  ])(
    "at capacity %s: products, attention, cache and all together with the sizes of SmolLM-360M",
    (capacity, products, attention, cache, all) => {
      const { executed, dense } = smol(capacity);
      expect(executed.products / dense.products).toBe(products);
      expect(executed.attention / dense.attention).toBe(attention);
      expect(executed.cache / dense.cache).toBe(cache);
      expect((executed.flops / dense.flops).toFixed(4)).toBe(all.toFixed(4));
    },
  );

  it("at full capacity nothing is saved", () => {
    const { executed, dense } = smol("100%");
    expect(executed).toEqual(dense);
  });

  // A head of share u leaves 1 / (u + (1 − u) · 0.5625); the vocabulary is chosen so that the head has that share of
  // all products with weights.
  it.each([
    [0.15, { dim: "34", heads: "1", hidden: "136", depth: "2", vocab: String((2 * 16 * 34 * 3) / 17) }, "1.592"],
    [0.09, { dim: "182", heads: "1", hidden: "728", depth: "2", vocab: String((2 * 16 * 182 * 9) / 91) }, "1.661"],
  ])(
    "with a head of %f of the operations it steps 1.59 to 1.66 times as fast, as published",
    (share, sizes, faster) => {
      const { total, rows } = ledgerOfExample("smollm-mod.mod", { set: { ...sizes, kv_heads: "1" }, T: 2048 });
      const head = rows.find((row) => row.name === "(model)")!.dense.products;
      // The router is a sum for each token, no product, and the published estimate leaves it out as well.
      expect(head / total.dense.products).toBeCloseTo(share, 12);
      const speed = total.dense.products / total.executed.products;
      expect(speed.toFixed(3)).toBe(faster);
      expect(speed).toBeCloseTo(1 / (share + (1 - share) * 0.5625), 6);
    },
  );

  it.each([
    [
      "32 layers, 8 heads of 128, 4096 tokens",
      { dim: "4096", heads: "32", kv_heads: "8", hidden: "64", vocab: "16", depth: "32" },
      4096,
      512,
      288,
    ],
    [
      "12 layers, 12 heads of 64, 2048 tokens",
      { dim: "768", heads: "12", kv_heads: "12", hidden: "64", vocab: "16", depth: "12" },
      2048,
      72,
      40.5,
    ],
  ])("cache in half precision: %s", (_name, set, T, dense, executed) => {
    const { total } = ledgerOfExample("smollm-mod.mod", { set, T, bytesPerValue: 2 });
    expect([total.dense.cache, total.executed.cache]).toEqual([dense * 2 ** 20, executed * 2 ** 20]);
  });
});

describe("p-MoD (arXiv 2412.04449)", () => {
  const { rows, total } = ledgerOfExample("p-mod.mod", { T: 2880, convention: "mor" });
  const kept = rows.filter((row) => row.name.startsWith("layers.")).map((row) => row.executed.cache / row.dense.cache);

  it("keeps 53.75% of the cache, which the paper prints as 53.8%", () =>
    expect(total.executed.cache / total.dense.cache).toBeCloseTo(0.5375, 12));
  it("leaves the first eight layers dense and ends at 15%", () => {
    expect(kept).toHaveLength(32);
    expect(kept.slice(0, 8)).toEqual(Array(8).fill(1));
    for (const share of kept.slice(24)) expect(share).toBeCloseTo(0.15, 12);
  });
});

describe("what is counted", () => {
  const source = (body: string): string =>
    `model M() {\n  weight w: f32[3, 5]\n  forward(x: f32[B, T <= 64, 3]) -> f32[B, T, 5] {\n${body}\n  }\n}\n`;

  /** The product on the chosen rows only. */
  const routed = (route: string): string =>
    source(`    route = ${route}\n    put(concat([x, x[..., 0:2]], axis: -1), route, take(x, route) @ w)`);

  it("a product of [B·T, 3] and [3, 5]: two operations for each multiply-add, every input and result once", () => {
    const { total, tokens } = ledgerOf("m.mod", source("    x @ w"), { B: 2, T: 7 });
    expect(total.executed).toEqual({
      products: 2 * 14 * 3 * 5,
      attention: 0,
      other: 0,
      flops: 420,
      bytes: 4 * (14 * 3 + 15 + 14 * 5),
      cache: 0,
    });
    expect(total.dense).toEqual(total.executed);
    expect([tokens, total.parameters]).toEqual([14, 15]);
  });

  it("rounds capacities as they run, and leaves them exact for comparison with papers", () => {
    const rowsOf = (convention: "executed" | "mor"): number =>
      ledgerOf("m.mod", routed("top(sum(x, axis: -1), ceil(T / 8))"), { T: 20, convention }).total.executed.products /
      (2 * 3 * 5);
    expect(rowsOf("executed")).toBe(3);
    expect(rowsOf("mor")).toBeCloseTo(2.5, 12);
  });

  it("above counts its expected share, and all where nothing is skipped", () => {
    const { total } = ledgerOf("m.mod", routed("above(sum(x, axis: -1), 0.0, expected: 25%)"), { B: 3, T: 16 });
    expect([total.executed.products, total.dense.products]).toEqual([3 * 4 * 30, 3 * 16 * 30]);
  });

  it("live parameters count at the value given", () => {
    const text = routed("top(sum(x, axis: -1), ceil(c * T))").replace("M()", "M(live c: ratio = 50%)");
    const products = (live?: LedgerOptions["live"]): number =>
      ledgerOf("m.mod", text, { T: 16, ...(live ? { live } : {}) }).total.executed.products;
    expect([products(), products(new Map([["c", { num: 1n, den: 8n }]]))]).toEqual([8 * 30, 2 * 30]);
  });

  it("rows of the ledger are the first names of paths, with the indices of lists, all calls together", () => {
    expect(
      ["", "embed", "layers.3.inner.attn.q", "layers.0", "blocks.1.2.mlp", "shared.0#2.mlp", "body#1"].map(groupOf),
    ).toEqual(["(model)", "embed", "layers.3", "layers.0", "blocks.1.2", "shared.0", "body"]);
  });
});
