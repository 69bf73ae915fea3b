// A training run from begin to end: its events, log, report and checkpoints; settings.
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readLog } from "../../../src/tools/train/log-node.js";
import { trainModel } from "../../../src/tools/train/run-node.js";
import { withDefaults } from "../../../src/tools/train/settings.js";
import { pretendModel, pretendRun, PretendTrainer } from "./pretend.js";
import { kinds, pretendRuns, settings } from "./pretend-runs.js";

const { place, data, runTo, whole, undisturbed } = pretendRuns();

describe("a run", () => {
  it("validates and saves at its intervals, at the end, and whenever it is the best so far", async () => {
    const events = await undisturbed;
    expect(events.filter((e) => e.kind === "step").map((e) => e.step)).toEqual(
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
    expect(events.filter((e) => e.kind === "validation").map((e) => e.step)).toEqual([7, 14, 20]);
    expect(events.filter((e) => e.kind === "checkpoint").map((e) => [e.step, e.best])).toEqual([
      [5, false],
      [10, false],
      [14, true],
      [15, false],
      [20, true],
    ]);
    expect(events[0]).toMatchObject({
      kind: "begin",
      step: 0,
      steps: 20,
      data: { unit: "token", training: 19_000, validation: 1000 },
      bytesPerToken: 1,
      from: null,
    });
    expect(events.at(-1)).toMatchObject({
      kind: "end",
      step: 20,
      reason: "finished",
      checkpoint: expect.stringContaining("step-00000020"),
    });
    expect(readdirSync(join(whole, "checkpoints")).sort()).toEqual(["best", "last", "step-00000015", "step-00000020"]);
  });

  it("tells each step's learning rate, live parameters and bits a byte", async () => {
    const steps = (await undisturbed).filter((e) => e.kind === "step");
    expect(steps[0]).toMatchObject({ learningRate: 5e-4, live: { capacity: 1 } });
    expect(steps[1]).toMatchObject({ learningRate: 1e-3 });
    expect(steps[10]!.live).toEqual({ capacity: 0.125 });
    expect(steps[3]!.bitsPerByte).toBeCloseTo(steps[3]!.metrics.losses["next_token"]! / Math.LN2, 12);
  });

  it("counts the epochs of its text, in the log too", async () => {
    const steps = (await undisturbed).filter((e) => e.kind === "step");
    // A step has four windows of 32 tokens. An epoch has 592 or 593 windows.
    for (const { step, epoch } of steps) expect(Math.abs(epoch / ((4 * step) / 593) - 1)).toBeLessThan(0.003);
    const logged: unknown[] = [];
    for await (const entry of readLog(join(whole, "log.jsonl"))) if (entry.kind === "step") logged.push(entry["epoch"]);
    expect(logged).toEqual(steps.map(({ epoch }) => epoch));
  });

  it("warns before its first step if it reads its text too often", async () => {
    const said = async (change: object): Promise<readonly string[]> =>
      (await runTo(place(), {}, { ...settings, live: "", ...change })).flatMap((e) =>
        e.kind === "warning" && e.step === 0 ? [e.message] : [],
      );
    // 18,999 tokens with a target are 29 windows of 640 tokens.
    const large = { context: 640, accumulate: 1, validateEvery: 99, checkpointEvery: 99 };
    expect(await said({})).toEqual([]);
    expect(await said({ ...large, batch: 29, steps: 19 })).toEqual([]);
    // The epochs that the last step then has: some have 28 windows, by the place of their cuts.
    const many = await runTo(place(), {}, { ...settings, live: "", ...large, batch: 29, steps: 21 });
    const last = many.findLast((e) => e.kind === "step");
    expect(last?.epoch).toBeGreaterThan(21);
    expect(many.flatMap((e) => (e.kind === "warning" && e.step === 0 ? [e.message] : []))).toEqual([
      `the run reads the data ${Number(last!.epoch.toPrecision(3))} times; give more data, or fewer --steps`,
    ]);
    expect(await said({ ...large, batch: 30, steps: 1 })).toEqual([
      "a step reads the data more than once: it takes 30 sequences, and the data have 29; give more data, or a " +
        "smaller --batch",
    ]);
  });

  it("validates under both rules, and draws the routes of a passage", async () => {
    const [first] = (await undisturbed).filter((e) => e.kind === "validation");
    expect(Object.keys(first!.byRule)).toEqual(["top-k", "causal"]);
    expect(first!.loss).toBe(first!.byRule.causal!.loss);
    expect(first!.byRule.causal!.tokens).toBe(128);
    expect(first!.passage!.tokens).toEqual([...readFileSync(data).subarray(19_000, 19_032)]);
    expect(first!.passage!.routes.map((r) => [r.rule, r.path, r.mask.length])).toEqual(
      ["top-k", "causal"].flatMap((rule) => [1, 3, 5].map((layer) => [rule, `layers.${layer}.chosen`, 32])),
    );
    const rules: string[] = [];
    await runTo(place(), {
      model: { ...pretendModel, routed: false, rules: ["top-k"] },
      pretence: { onEvaluate: (rule) => rules.push(rule) },
    });
    expect(new Set(rules)).toEqual(new Set(["top-k"]));
  });

  it("leaves a log of all steps and validations, and a report that needs nothing else", async () => {
    await undisturbed;
    const kept: string[] = [];
    for await (const entry of readLog(join(whole, "log.jsonl"))) kept.push(`${entry.kind} ${entry.step}`);
    expect(kept.filter((k) => k.startsWith("step"))).toHaveLength(20);
    expect(kept.filter((k) => k.startsWith("validation"))).toEqual(["validation 7", "validation 14", "validation 20"]);
    const report = readFileSync(join(whole, "report.html"), "utf8");
    expect(report).toContain("default-src 'none'");
    expect(report).not.toMatch(/(src|href)=|url\((?!#)|https?:\/\/|@import/);
    expect(report).toContain("layers.5.chosen");
  });

  it("that goes on keeps the routes of its last validation in the report", async () => {
    await undisturbed;
    const output = place();
    cpSync(whole, output, { recursive: true, verbatimSymlinks: true });
    const report = (): string => readFileSync(join(output, "report.html"), "utf8");
    await runTo(output, { resume: "last" });
    expect(report()).toBe(readFileSync(join(whole, "report.html"), "utf8"));
    const stop = new AbortController();
    await runTo(
      output,
      { resume: "last", signal: stop.signal, pretence: { before: () => stop.abort() } },
      { steps: 30 },
    );
    expect(report()).toContain("step 21 of 30");
    expect(report()).toContain("layers.5.chosen");
  });

  it("that nobody listens to any more ends after the steps under way", async () => {
    const trainer = new PretendTrainer({ before: () => new Promise((resolve) => setTimeout(resolve, 5)) });
    for await (const event of trainModel(pretendRun(place(), data, settings, { createTrainer: async () => trainer })))
      if (event.kind === "step" && event.step === 2) break;
    expect(trainer.disposed).toBe(true);
  });

  it("without a validation part has neither validation nor best", async () => {
    const output = place();
    expect(kinds(await runTo(output, {}, { validation: 0 }))).toBe("b0c5c10c15c20e20");
    expect(existsSync(join(output, "checkpoints", "best"))).toBe(false);
  });
});

describe("settings", () => {
  it.each([
    [{ steps: 0 }, "steps is 0: it must be a whole number from 1 to 1000000000"],
    [{ batch: 1.5 }, "batch is 1.5"],
    [{ keep: 0 }, "keep is 0"],
    [{ seed: -1 }, "seed is -1"],
    [{ beta2: 1 }, "beta2 is 1: it must be a number from 0 to below 1"],
    [{ clip: -1 }, "clip is -1: it must be a number from 0 on"],
    [{ lr: -1 }, "lr is -1"],
    [{ warmup: 2000 }, "the warm-up takes 2000 steps"],
    [{ live: "capacity" }, '"capacity" sets no live parameter'],
    [{ live: "capacity=x@1" }, '"x@1" is not a value at a step'],
    [{ eps: 0 }, "eps is 0"],
  ])("refuse %o", (wrong, message) => {
    expect(() => withDefaults({ context: 8, ...wrong })).toThrow(message);
  });

  it("that are not given follow from those that are", () => {
    expect(withDefaults({ context: 8 })).toMatchObject({
      steps: 1000,
      lr: 1e-3,
      minLr: 1e-4,
      warmup: 100,
      decay: 200,
      weightDecay: 0.1,
    });
    expect(withDefaults({ context: 8, optimizer: "sgd", steps: 10 })).toMatchObject({
      lr: 0.1,
      warmup: 1,
      decay: 2,
      weightDecay: 0,
    });
    expect(withDefaults({ context: 8, steps: 1, schedule: "wsd" })).toMatchObject({ warmup: 0, decay: 1 });
  });
});
