// The experiment at equal training operations: its plan, what it reads from logs, and when it calls a difference one.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { beside, compared, finalLoss, groupsOf, readRun, type RunResult } from "../../bench/isoflop/collect.js";
import { figure } from "../../bench/isoflop/figure.js";
import { keepResult, keptPlan, keptResult } from "../../bench/isoflop/kept.js";
import { BATCH, CONTEXT, planRuns, SEEDS, SIZES, VARIANTS, type PlannedRun } from "../../bench/isoflop/plan.js";
import { trainArguments } from "../../bench/isoflop/run.js";
import { experimentText } from "../../bench/isoflop/table.js";

const plan = planRuns(20);
const of = (id: string): PlannedRun => plan.find((r) => r.id === id)!;
const folder = mkdtempSync(join(tmpdir(), "isoflop-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("the plan", () => {
  it("has every variant of every size with every seed once", () => {
    expect(new Set(plan.map((r) => r.id)).size).toBe(VARIANTS.length * SIZES.length * SEEDS.length);
    expect(plan).toHaveLength(VARIANTS.length * SIZES.length * SEEDS.length);
  });

  it("spends as many operations on all of one size, to half a step", () => {
    for (const run of plan) {
      const dense = of(`a-${run.size.name}-${run.seed}`);
      expect(Math.abs(run.steps * run.step - dense.steps * dense.step), run.id).toBeLessThanOrEqual(run.step / 2);
    }
  });

  it("shows the dense models twenty tokens for each parameter, of which there are about so many", () => {
    for (const size of SIZES) {
      const { parameters, steps } = of(`a-${size.name}-1`);
      expect(parameters / 1e6).toBeCloseTo(Number(size.name), 1);
      expect((steps * BATCH * CONTEXT) / parameters).toBeCloseTo(20, 1);
    }
  });

  it("routes at random at the cost of learned routes, predictors included, and more capacity costs more", () => {
    for (const size of SIZES) {
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
  });
});

/** A run that ended with these losses. */
const ended = (id: string, topK: number, causal: number): RunResult => {
  const run = of(id);
  return {
    run,
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
  ];
  const groups = groupsOf(plan, results);
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
    const text = experimentText(groups, 20, { device: "a device", medians: { "a-0.2": 300, "b-0.2": 150 } });
    expect(text).toContain("**5 of 16 runs are finished**");
    expect(text).toMatch(
      /\| \(b\) MoD 12\.5%, every second layer, 0\.2 M \|.*\| 1\.7500 \(1\.7000 to 1\.8000\) \| 2\.0000 \(1\.9500 to 2\.0500\) \| not distinguishable \|/,
    );
    expect(text).toMatch(/\| \(a\) dense, 0\.2 M \|.*\| 300 \|/);
    expect(text).toContain("| 150 (0.50 ×) |");
    expect(text).toMatch(/\| \(d\) .*0\.2 M \|.*3\.0000 \(one seed\).*\| not yet \|/);
    const svg = figure(groups);
    expect(svg.match(/class="line topk"/g)).toHaveLength(3);
    expect(svg).toContain("no run is finished");
    expect(svg).not.toContain("NaN");
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

  it("that does not reach the last step, or holds no number, is refused", async () => {
    await expect(readRun(run, write([validation(run.steps - 1)]))).rejects.toThrow(
      "the last validation is not that of step",
    );
    await expect(
      readRun(run, write([{ ...validation(run.steps), rules: { "top-k": { loss: "NaN" } } }])),
    ).rejects.toThrow("is no number");
  });
});
