// What published variants of routing cost, against the figures of their papers and sums done by hand.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ledger, stepsWithin, type Ledger } from "../../../src/compiler/cost/ledger.js";
import { resolveShares } from "../../../src/compiler/cost/shares.js";
import { isOp, nodesOf, typeOf, type Graph, type Node } from "../../../src/compiler/ir/graph.js";
import type { OpName } from "../../../src/compiler/ir/vocabulary.js";
import { ops } from "../../../src/compiler/ops/index.js";
import { toNumber } from "../../../src/ground/numerics/rational.js";
import { optimized, type Optimized } from "../../optimized.js";

const made = (name: string, set: Readonly<Record<string, string>>): Optimized =>
  optimized(readFileSync(new URL(`../../../examples/variants/${name}.mod`, import.meta.url), "utf8"), {
    set,
    verify: false,
  });

const costOf = <K extends OpName>(node: Node<K>) =>
  ops[node.op].cost(
    node.inputs.map((n) => typeOf(n)),
    node.attrs,
    node.types,
  );

/** One sequence of T tokens. */
const atLength = (T: number): ReadonlyMap<string, number> =>
  new Map([
    ["B", 1],
    ["T", T],
  ]);

function ledgerOf(text: string, T: number): Ledger {
  const { graph, model } = optimized(text, { verify: false });
  return ledger(graph, model, { extents: atLength(T) });
}

/** Operations of the nodes that `of` selects, for one sequence of T tokens, capacities not rounded. */
function operations(graph: Graph, T: number, of: (node: Node) => boolean): number {
  const shares = resolveShares(graph.axes, { extents: atLength(T), live: new Map() }, false);
  return nodesOf(graph)
    .filter(of)
    .reduce((sum, node) => sum + toNumber(shares.rational(costOf(node).flops)), 0);
}

describe("variants", () => {
  it("MoR with token choice costs, at equal depths, what expert choice does", () => {
    const set = {
      vocab: "49152",
      dim: "960",
      heads: "15",
      kv_heads: "5",
      hidden: "2560",
      layers: "10",
      context: "2048",
    };
    const { graph, model } = made("mor-token-choice", set);
    const found = ledger(graph, model, { extents: atLength(2048), convention: "mor" });
    // As examples/mor.mod with three recursions: the authors' budget, in steps of 1024 sequences of 2048 tokens.
    expect(Math.round(stepsWithin(16.5e18, found, 1024 * 2048))).toBe(14160);
  });

  it("attention of A-MoD's routed layers costs, at half the tokens, a quarter", () => {
    const attention = (capacity: string): number =>
      operations(made("a-mod", { capacity, depth: "2" }).graph, 196, (n) => isOp(n, "attention"));
    const dense = attention("100%") / 2;
    expect(attention("50%") - dense).toBe(dense / 4);
  });

  describe("FlexiDepth on Llama-3-8B", () => {
    const sizes = { vocab: "8", dim: "4096", heads: "32", kv_heads: "8", hidden: "14336" };
    /** Products of two layers, a plain layer and a layer that tokens skip. */
    const layer = 64 * 2 * (2.5 * 4096 * 4096 + 3 * 4096 * 14336);
    const found = (dense: number, expected: string) => {
      const { graph, model } = made("flexi-depth", { ...sizes, depth: `${dense + 1}`, dense: `${dense}`, expected });
      const { rows, total } = ledger(graph, model, { extents: atLength(64) });
      const products = rows.reduce((sum, { name, executed }) => sum + (name === "(model)" ? 0 : executed.products), 0);
      return { products: products / layer, cache: total.executed.cache / total.dense.cache };
    };

    it("keeps 0.0986 of a layer's products for tokens that skip it, and all of the cache", () => {
      const { products, cache } = found(0, "0%");
      expect([products.toFixed(4), cache]).toEqual(["0.0986", 1]);
      // The router's two products run for all.
      expect(found(0, "100%").products).toBeCloseTo(1 + 2 / 16 / 13, 4);
    });

    it("leaves 0.777 where tokens skip 8 of 32 layers, each half of the last 16", () =>
      expect((found(1, "50%").products / 2).toFixed(3)).toBe("0.777"));
  });

  it("CoLT5 costs 7.28 nd² + n²d/85 where a dense layer costs 12 nd² + 2n²d", () => {
    const [n, d] = [4096, 512];
    const { graph } = made("colt5", { dim: `${d}`, heads: "8", depth: "1", context: `${n}`, vocab: "8" });
    const own = (node: Node): boolean => node.origin!.path.startsWith("layers");
    const weights = operations(graph, n, (node) => own(node) && isOp(node, "matmul"));
    expect((weights / 2 / (n * d * d)).toFixed(2)).toBe("7.28");
    const heavy = operations(graph, n, (node) => isOp(node, "attention") && node.origin!.path === "layers.0");
    expect(Math.round((n * n * d) / (heavy / 2))).toBe(85);
    const dense = ledgerOf(
      `import { Layer } from "std"
      model M() {
        layer: Layer(${d}, 8, mlp: "gelu", causal: false)
        forward(x: f32[B, T <= ${n}, ${d}]) -> f32[B, T, ${d}] { layer(x) }
      }`,
      n,
    ).total.executed;
    expect([dense.products / 2 / (n * d * d), dense.attention / 2 / (n * n * d)]).toEqual([12, 2]);
  });

  it("experts that choose at factor c have c·T entries, as top-c has", () => {
    const productsOf = (mixture: string): number =>
      ledgerOf(
        `import { ExpertChoice, MoE, SwiGLU } from "std"
        model M() {
          net: ${mixture}
          forward(x: f32[B, T <= 64, 16]) -> f32[B, T, 16] { net(x) }
        }`,
        64,
      ).total.executed.products;
    const experts = "[for e in 0..8: SwiGLU(16, 24)], 16";
    for (const c of [1, 2, 3]) {
      expect(productsOf(`MoE(${experts}, ${c})`)).toBe(64 * 2 * 16 * (8 + c * 3 * 24));
      expect(productsOf(`ExpertChoice(${experts}, ${c} / 8)`)).toBe(productsOf(`MoE(${experts}, ${c})`));
    }
  });

  it("experts above a threshold cost what is expected of them, and no more than room is for", () => {
    const found = (choice: string): { readonly products: number; readonly active: number } => {
      const { total, active } = ledgerOf(
        `import { Linear, SwiGLU } from "std"
        model M() {
          router: Linear(16, 8, bias: false)
          experts: [for e in 0..8: SwiGLU(16, 24)]
          forward(x: f32[B, T <= 64, 16]) -> f32[B, T, 16] {
            p = softmax(router(x))
            ${choice}
            sum(experts[chosen](x) * take(p, chosen)[..., None], axis: -2)
          }
        }`,
        64,
      );
      return { products: total.executed.products, active: active.total };
    };
    const counted = (experts: number): object => ({
      products: 64 * 2 * 16 * (8 + experts * 3 * 24),
      active: 16 * (8 + experts * 3 * 24),
    });
    expect(found("chosen = above(p, 0.1, expected: 25%)")).toEqual(counted(2));
    expect(found("chosen = above(p, 0.1)")).toEqual(counted(8));
    const wish = "wish = top(p, 2, axis: -1)\n            ";
    expect(found(`${wish}chosen = those(wish.mask and p > 0.1, expected: 50%)`)).toEqual(counted(2));
    expect(found(`${wish}chosen = those(wish.mask and p > 0.1, expected: 12.5%)`)).toEqual(counted(1));
  });
});
