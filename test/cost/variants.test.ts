// What published variants of routing cost, against the figures of their papers and sums done by hand.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { check } from "../../src/check/check.js";
import { ledger, stepsWithin } from "../../src/cost/ledger.js";
import { resolveShares } from "../../src/cost/shares.js";
import { formatDiagnostics } from "../../src/diagnostics/format.js";
import type { Model } from "../../src/check/model.js";
import { isOp, nodesOf, typeOf, type Graph, type Node } from "../../src/ir/graph.js";
import type { OpName } from "../../src/ir/vocabulary.js";
import { lower } from "../../src/lower/lower.js";
import { ops } from "../../src/ops/index.js";
import { optimize } from "../../src/passes/index.js";
import { toNumber } from "../../src/size/rational.js";

function made(name: string, set: Readonly<Record<string, string>>): { readonly graph: Graph; readonly model: Model } {
  const text = readFileSync(new URL(`../../examples/variants/${name}.mod`, import.meta.url), "utf8");
  const { model, diagnostics, sources } = check({ file: name, text }, { phase: "infer", set, read: () => null });
  if (!model) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return { graph: optimize(lower(model)), model };
}

const costOf = <K extends OpName>(node: Node<K>) =>
  ops[node.op].cost(
    node.inputs.map((n) => typeOf(n)),
    node.attrs,
    node.types,
  );

/** Operations of these nodes for one sequence of T tokens, capacities not rounded. */
function operations(graph: Graph, T: number, of: (node: Node) => boolean): number {
  const extents = new Map([
    ["B", 1],
    ["T", T],
  ]);
  const shares = resolveShares(graph.axes, { extents, live: new Map() }, false);
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
    const extents = new Map([
      ["B", 1],
      ["T", 2048],
    ]);
    const found = ledger(graph, model, { extents, convention: "mor" });
    // As examples/mor.mod with three recursions: the authors' budget, in steps of 1024 sequences of 2048 tokens.
    expect(Math.round(stepsWithin(16.5e18, found, 1024 * 2048))).toBe(14160);
  });

  it("attention of A-MoD's routed layers costs, at half the tokens, a quarter", () => {
    const attention = (capacity: string): number =>
      operations(made("a-mod", { capacity, depth: "2" }).graph, 196, (n) => isOp(n, "attention"));
    const dense = attention("100%") / 2;
    expect(attention("50%") - dense).toBe(dense / 4);
  });

  it("a layer of FlexiDepth on Llama-3-8B keeps 0.0986 of its products for tokens that skip it", () => {
    const sizes = { vocab: "8", dim: "4096", heads: "32", kv_heads: "8", hidden: "14336", depth: "1" };
    const products = (expected: string): number =>
      operations(
        made("flexi-depth", { ...sizes, expected }).graph,
        64,
        (n) => isOp(n, "matmul") && n.origin!.path !== "",
      );
    const layer = 64 * 2 * (2.5 * 4096 * 4096 + 3 * 4096 * 14336);
    expect(products("0%") / layer).toBeCloseTo(0.0986, 4);
    // The router's two products run for all.
    expect(products("100%") / layer).toBeCloseTo(1 + 2 / 16 / 13, 6);
  });

  it("CoLT5 costs 7.28 nd² + n²d/85 where a dense layer costs 12 nd² + 2n²d", () => {
    const [n, d] = [4096, 512];
    const { graph } = made("colt5", { dim: `${d}`, heads: "8", depth: "1", context: `${n}`, vocab: "8" });
    const own = (node: Node): boolean => node.origin!.path.startsWith("layers");
    const weights = operations(graph, n, (node) => own(node) && isOp(node, "matmul"));
    expect(weights / 2 / (n * d * d)).toBeCloseTo(4 + 1 + 2 + 0.75 * (2 / 16 + 2 / 8), 2);
    const heavy = operations(graph, n, (node) => isOp(node, "attention") && node.origin!.path === "layers.0");
    expect((n * n * d) / (heavy / 2)).toBeCloseTo(128 / 1.5, 6);
  });
});
