// The experiment at equal training operations: the plan, the readings from logs, and the claims about differences.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { beside, compared, finalLoss, groupsOf, readRun, type RunResult } from "../../bench/isoflop/collect.js";
import { figure } from "../../bench/isoflop/figure.js";
import { keepResult, keptPlan, keptResult } from "../../bench/isoflop/kept.js";
import {
  BATCH,
  COMPARISONS,
  CONTEXT,
  planRuns,
  runsOf,
  SEEDS,
  type ComparisonName,
  type PlannedRun,
} from "../../bench/isoflop/plan.js";
import { trainArguments } from "../../bench/isoflop/run.js";
import { experimentText } from "../../bench/isoflop/table.js";

const plan = planRuns(20);
const of = (id: string): PlannedRun => plan.find((r) => r.id === id)!;
const sizes = [...new Set(plan.map((r) => r.size))];
const runs = (name: ComparisonName): readonly PlannedRun[] =>
  runsOf(
    COMPARISONS.find((c) => c.name === name)!,
    plan,
  );
const folder = mkdtempSync(join(tmpdir(), "isoflop-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the plan", () => {
  it("has every variant of a comparison at every of its sizes with every seed once, and nothing else", () => {
    for (const comparison of COMPARISONS) {
      const ids = comparison.sizes.flatMap((size) =>
        comparison.variants.flatMap((variant) => SEEDS.map((seed) => `${variant.name}-${size.name}-${seed}`)),
      );
      expect(new Set(runsOf(comparison, plan).map((r) => r.id)), comparison.name).toEqual(new Set(ids));
    }
    expect(new Set(plan.map((r) => r.id)).size, "the dense runs of both are the same").toBe(plan.length);
    expect(new Set([...runs("depths"), ...runs("experts")])).toEqual(new Set(plan));
  });

  it("spends as many operations on all of one size, to half a step", () => {
    for (const run of plan) {
      const dense = of(`a-${run.size.name}-${run.seed}`);
      expect(Math.abs(run.steps * run.step - dense.steps * dense.step), run.id).toBeLessThanOrEqual(run.step / 2);
    }
  });

  it("shows the dense models twenty tokens for each parameter, of which there are about so many", () => {
    for (const size of sizes) {
      const { parameters, steps } = of(`a-${size.name}-1`);
      expect(parameters / 1e6).toBeCloseTo(Number(size.name), 1);
      expect((steps * BATCH * CONTEXT) / parameters).toBeCloseTo(20, 1);
    }
  });

  it("routes at random at the cost of learned routes, predictors included, and more capacity costs more", () => {
    for (const size of sizes) {
      const [a, b, c, d] = (["a", "b", "c", "d"] as const).map((name) => of(`${name}-${size.name}-1`)) as [
        PlannedRun,
        PlannedRun,
        PlannedRun,
        PlannedRun,
      ];
      expect(Math.abs(d.step / b.step - 1)).toBeLessThan(0.001);
      expect([b.step, c.step, a.step]).toEqual([b.step, c.step, a.step].toSorted((x, y) => x - y));
      expect(b.forward["top-k"] / a.forward["top-k"]).toBeLessThan(0.6);
      expect(b.forward.causal, "with its predictors").toBeGreaterThan(b.forward["top-k"]);
    }
  });

  it("counts of a mixture what a token goes through: one network of eight, or none", () => {
    const [a, b, e, f, g] = (["a", "b", "e", "f", "g"] as const).map((name) => of(`${name}-0.2-1`)) as [
      PlannedRun,
      PlannedRun,
      PlannedRun,
      PlannedRun,
      PlannedRun,
    ];
    const [dim, layers] = [48, 6];
    const network = 3 * dim * 4 * dim;
    const router = 8 * dim;
    expect(e.parameters - a.parameters).toBe(layers * (7 * network + router));
    expect(e.active - a.active).toBe(layers * router);
    expect(f.active - b.active).toBeCloseTo((layers / 2) * (1 + 1 / 8) * router, 6);
    expect(g.active - e.active).toBeCloseTo(layers * (6 * dim - (6 / 14) * network), 6);
    // Forward, the products of the networks that no-ops stand for are spared; a router's are not.
    const products = CONTEXT * layers * 2 * (6 * dim - (6 / 14) * network);
    expect((g.forward["top-k"] - e.forward["top-k"]) / products).toBeCloseTo(1, 1);
    for (const [some, like] of [
      [e, a],
      [f, b],
    ] as const) {
      expect(some.step / like.step, some.id).toBeGreaterThan(1);
      expect(some.step / like.step, some.id).toBeLessThan(1.02);
    }
    expect(e.forward.causal).toBe(e.forward["top-k"]);
  });

  it("stays as it was when the first run began", () => {
    const home = join(folder, "plan");
    expect(keptPlan(home, plan, false)).toBe(plan);
    const cheaper = plan.map((run) => ({ ...run, step: run.step / 2, steps: run.steps * 2 }));
    expect(keptPlan(home, cheaper, false), "nothing is kept by looking").toBe(cheaper);
    keptPlan(home, plan, true);
    expect(keptPlan(home, cheaper, true)).toEqual(plan);
    expect(() => keptPlan(home, plan.slice(1), true)).toThrow("plans other runs");
  });

  it("tells `modc train` the seed, the parameters and where to go on", () => {
    const run = of("b-0.4-2");
    const given = trainArguments(run, { folder: "x", windows: 3 }, false);
    const after = (flag: string): string => given[given.indexOf(flag) + 1]!;
    expect([after("--steps"), after("--seed"), after("--windows")]).toEqual([String(run.steps), "2", "3"]);
    expect(given).toEqual(expect.arrayContaining(["dim=64", 'routing="learned"', "capacity=12.5%"]));
    expect(given).not.toContain("--resume");
    expect(trainArguments(run, { folder: "x", windows: 3 }, true)).toContain("--resume");
    const mixture = trainArguments(of("g-0.2-1"), { folder: "x", windows: 3 }, false);
    expect(mixture[1]).toMatch(/isoflop-experts\.mod$/);
    expect(mixture).toEqual(expect.arrayContaining(["dim=48", "idle=6"]));
  });
});

/** A run that ended with these losses. */
const ended = (id: string, topK: number, causal: number, noOps: number | null = null): RunResult => {
  const run = of(id);
  return {
    run,
    noOps,
    validations: [
      { step: Math.floor(run.steps / 2), loss: { "top-k": topK + 1, causal: causal + 1 } },
      { step: run.steps, loss: { "top-k": topK, causal } },
    ],
  };
};

describe("what it found", () => {
  const results = [
    ended("a-0.2-1", 2, 2),
    ended("a-0.2-2", 2.1, 2.1),
    ended("b-0.2-1", 1.7, 1.95),
    ended("b-0.2-2", 1.8, 2.05),
    ended("d-0.2-1", 3, 3),
    ended("f-0.2-1", 1.5, 1.6),
    ended("f-0.2-2", 1.6, 1.7),
    ended("g-0.2-1", 1.7, 1.7, 0.401),
    ended("g-0.2-2", 2.2, 2.2, 0.452),
  ];
  const groups = groupsOf(runs("depths"), results);
  const experts = groupsOf(runs("experts"), results);
  const group = (name: string, size = "0.2") =>
    groups.find((g) => g.costs.variant.name === name && g.costs.size.name === size)!;

  it("is a difference only where the ranges over seeds do not touch", () => {
    expect(compared(group("b"), group("a"), "top-k")).toBe("lower");
    expect(compared(group("a"), group("b"), "top-k")).toBe("higher");
    expect(compared(group("b"), group("a"), "causal")).toBe("not distinguishable");
  });

  it("says nothing with fewer than two seeds", () => {
    expect(compared(group("d"), group("b"), "top-k")).toBeNull();
    expect(compared(group("b", "0.4"), group("a", "0.4"), "top-k")).toBeNull();
    expect(finalLoss(group("c"), "causal")).toBeNull();
  });

  it("compares within a size", () => {
    expect(beside(groups, group("b"), "a")).toBe(group("a"));
  });

  it("is told in a table and a figure, unfinished runs as such", () => {
    const times = { depths: { device: "a device", medians: { "a-0.2": 300, "b-0.2": 150 } } };
    const [text, mixtures] = experimentText(
      [
        { name: "depths", groups },
        { name: "experts", groups: experts },
      ],
      20,
      times,
    ).split("## Mixture-of-Depths-and-Experts") as [string, string];
    expect(text).toContain("**5 of 16 runs are finished.**");
    expect(text).toMatch(
      /\| \(b\) MoD 12\.5%, every second layer, 0\.2 M \|.*\| 1\.7500 \(1\.7000 to 1\.8000\) \| 2\.0000 \(1\.9500 to 2\.0500\) \| not distinguishable \|/,
    );
    expect(text).toMatch(/\| \(a\) dense, 0\.2 M \|.*\| 300 \|/);
    expect(text).toContain("| 150 (0.50 ×) |");
    expect(text).toMatch(/\| \(d\) .*0\.2 M \|.*3\.0000 \(one seed\).*\| not yet \|/);
    expect(mixtures).toContain("**6 of 8 runs are finished.**");
    expect(mixtures).toContain("(g) chose a no-op in 40.1% to 45.2% of all cases");
    expect(mixtures).toMatch(/\| \(a\) dense, 0\.2 M \| 222 k \| 222 k \|.*\|  \| 2\.0500 /);
    expect(mixtures).toMatch(/\| \(f\) .* \| lower \|/);
    expect(mixtures).toMatch(/\| \(g\) .* \| not distinguishable \|/);
    expect(mixtures).toContain("| (g) against (e), 0.2 M | lower | not yet | not yet |");
    const svg = figure(groups);
    expect(svg.match(/class="line topk"/g)).toHaveLength(3);
    expect(svg).toContain("no run is finished");
    expect(svg).not.toContain("NaN");
    const second = figure(experts);
    expect(second.match(/class="line topk"/g)).toHaveLength(3);
    expect(second).toContain("(e) MoE");
    expect(second).not.toContain("NaN");
  });
});

describe("a log", () => {
  const run = of("b-0.2-1");
  const write = (lines: readonly object[]): string => {
    writeFileSync(join(folder, "log.jsonl"), lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    return folder;
  };
  const validation = (step: number): object => ({
    kind: "validation",
    step,
    loss: 2,
    rules: { "top-k": { loss: 1.5 }, causal: { loss: 2 } },
  });

  it("gives validations by rule, which stay when the run's folder is gone", async () => {
    const steps = Array.from({ length: 20 }, (_, i) => ({ kind: "step", step: i + 1, seconds: 1 }));
    const result = await readRun(run, write([...steps, validation(run.steps)]));
    expect(result.validations).toEqual([{ step: run.steps, loss: { "top-k": 1.5, causal: 2 } }]);
    const kept = join(folder, "kept");
    expect(keptResult(kept, run)).toBeNull();
    keepResult(kept, result);
    expect(keptResult(kept, run)).toEqual(result);
    expect(keptResult(kept, { ...run, steps: run.steps + 1 })).toBeNull();
  });

  it("gives the share of choices that were no-ops, of all steps", async () => {
    const mixture = of("g-0.2-1");
    const loads = (over: number, ...noOps: readonly number[]): object => ({
      kind: "experts",
      step: over,
      over,
      mixtures: noOps.map((share) => ({
        shares: Array.from({ length: 14 }, (_, i) => (i < 8 ? (1 - share) / 8 : share / 6)),
      })),
    });
    const result = await readRun(
      mixture,
      write([loads(100, 0.2, 0.4), loads(50, 0.5, 0.7), validation(mixture.steps)]),
    );
    expect(result.noOps).toBeCloseTo(0.4, 12);
    expect((await readRun(of("e-0.2-1"), write([validation(of("e-0.2-1").steps)]))).noOps).toBeNull();
    await expect(readRun(mixture, write([validation(mixture.steps)]))).rejects.toThrow("is no number");
  });

  it("that does not reach the last step, or holds no number, is refused", async () => {
    await expect(readRun(run, write([validation(run.steps - 1)]))).rejects.toThrow(
      "the last validation is not that of step",
    );
    await expect(
      readRun(run, write([{ ...validation(run.steps), rules: { "top-k": { loss: "NaN" } } }])),
    ).rejects.toThrow("is no number");
  });
});
