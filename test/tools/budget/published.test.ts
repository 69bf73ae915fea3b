// What was published of models and budgets, told again by plans.
import { describe, expect, it } from "vitest";
import { exampleText, planOf } from "./planned.js";

describe("a plan tells", () => {
  it("the steps of Mixture-of-Recursions, and those of its models without routing (arXiv 2507.10524)", () => {
    const { variants } = planOf(
      exampleText("mor.mod"),
      {},
      {
        budget: { flops: 16.5e18 },
        batch: 1024,
        length: 2048,
        convention: "mor",
        varied: new Map([
          ["layers", ["8"]],
          ["recursions", ["4"]],
          ["routed", ["true", "false"]],
        ]),
      },
    );
    expect(variants.map((v) => [v.pays?.steps, v.pays?.denseSteps])).toEqual([
      [14216, 8883],
      [8883, 8883],
    ]);
    expect(Math.round(variants[0]!.inner / 1e6)).toBe(98);
  });

  it(
    "that every second layer at 12.5% pays for 1.78 times as many parameters at equal operations",
    { tags: "long" },
    () => {
      const { variants } = planOf(
        exampleText("smollm-mod.mod"),
        { depth: "18" },
        { length: 16, convention: "mor", growth: new Map([["depth", 2]]) },
      );
      const { larger, forward } = variants[0]!;
      expect(larger!.set).toEqual({ depth: "32" });
      expect(larger!.innerRatio).toBeCloseTo(1 / 0.5625, 4);
      expect(larger!.operations).toBeLessThanOrEqual(forward.dense);
      expect(larger!.operations).toBeGreaterThan(0.999 * forward.dense);
    },
  );

  it("the cache of p-MoD: 53.75%, printed as 53.8% (arXiv 2412.04449)", () => {
    const { generation } = planOf(exampleText("p-mod.mod"), {}, { length: 2880, convention: "mor" }).variants[0]!;
    expect(generation!.cache.executed / generation!.cache.dense).toBeCloseTo(0.5375, 12);
  });

  it.each([
    ["135M", { dim: "576", heads: "9", kv_heads: "3", hidden: "1536", depth: "30" }, 134_515_008],
    ["360M", {}, 361_821_120],
    ["1.7B", { dim: "2048", heads: "32", kv_heads: "32", hidden: "8192", depth: "24" }, 1_711_376_384],
  ])("the parameters of SmolLM-%s", { tags: "long" }, (_name, set, parameters) => {
    const { variants } = planOf(exampleText("smollm-mod.mod"), { every: "64", ...set }, {});
    expect(variants[0]!.parameters).toBe(parameters);
    expect(variants[0]!.forward.executed).toBe(variants[0]!.forward.dense);
  });
});
