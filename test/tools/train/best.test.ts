// Which checkpoint of a run is the best where a live parameter changes: no checkpoint counts before the parameter has
// its final value; and what is said where predictors have not learned to skip.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { validationText } from "../../../src/tools/cli/train/train-progress.js";
import { type TrainEvent, Outcome } from "../../../src/tools/train/events.js";
import { readManifest } from "../../../src/tools/train/checkpoint-node.js";
import { readLog } from "../../../src/tools/train/log-node.js";
import { bestLoss, openRunFolder } from "../../../src/tools/train/run-folder-node.js";
import { trainModel } from "../../../src/tools/train/run-node.js";
import type { RunOptions } from "../../../src/tools/train/run-options.js";
import { settledFrom } from "../../../src/tools/train/settings.js";
import { unskipping, unskippingText } from "../../../src/tools/train/skipping.js";
import { contentsAt } from "./contents.js";
import { scratch, text } from "./folder.js";
import { pretendRun, PretendTrainer, type Pretence } from "./pretend.js";

const folder = scratch();
afterAll(() => folder.remove());
let made = 0;
const data = folder.file("text.txt", text(4000, 1));
const settings = {
  context: 32,
  batch: 2,
  steps: 20,
  validateEvery: 4,
  checkpointEvery: 50,
  keep: 9,
  validationWindows: 2,
};

/** A trainer whose loss is the lower the more is computed, as it is by the causal rule where capacity falls. */
class Falling extends PretendTrainer {
  override async evaluate(...given: Parameters<PretendTrainer["evaluate"]>): ReturnType<PretendTrainer["evaluate"]> {
    return { ...(await super.evaluate(...given)), loss: 2 - (given[2]?.live?.["capacity"] ?? 0) };
  }
}

async function run(
  live: string,
  pretence: Pretence = {},
): Promise<{ readonly output: string; readonly events: readonly TrainEvent[] }> {
  const output = join(folder.path, `run-${made++}`);
  const events: TrainEvent[] = [];
  for await (const event of trainModel(
    pretendRun(output, data, { ...settings, live }, { createTrainer: async () => new Falling(pretence) }),
  ))
    events.push(event);
  return { output, events };
}
const validations = (events: readonly TrainEvent[]) => events.filter((e) => e.kind === "validation");
const warnings = (events: readonly TrainEvent[]): string[] =>
  events.flatMap((e) => (e.kind === "warning" ? [e.message] : []));

describe("the best checkpoint", () => {
  it("is of those after every schedule of a live parameter has come to its end, though losses before were lower", async () => {
    const { output, events } = await run("capacity=100%@0,20%@8\nother=1@0,0@12");
    expect(validations(events).map((e) => [e.step, e.counts, e.best, Math.round(e.loss * 1e6) / 1e6])).toEqual([
      [4, false, false, 1.4],
      [8, false, false, 1.8],
      [12, true, true, 1.8],
      [16, true, false, 1.8],
      [20, true, false, 1.8],
    ]);
    expect(events.flatMap((e) => (e.kind === "checkpoint" ? [[e.step, e.best]] : []))).toEqual([
      [12, true],
      [20, false],
    ]);
    expect(await (await openRunFolder(output)).find("best")).toMatch(/step-00000012$/);
    expect(readFileSync(join(output, "report.html"), "utf8")).toContain("best");
    // The checkpoint keeps the values with which it was validated.
    const { live } = await readManifest((await openRunFolder(output)).checkpoint(12));
    expect(live).toEqual({ capacity: 0.2, other: 0 });
  });

  it("is judged with the values that live parameters keep, also where they have them only at the end", async () => {
    const seen: unknown[] = [];
    const { events } = await run("capacity=100%@0,20%@100%", {
      onEvaluate: (_rule, live) => seen.push(live?.["capacity"]),
    });
    expect(validations(events).map((e) => [e.step, e.counts, e.best])).toEqual(
      [4, 8, 12, 16, 20].map((step) => [step, step === 20, step === 20]),
    );
    expect(validations(events).at(-1)!.live).toEqual({ capacity: 0.2 });
    // Two rules, and each once more for the passage.
    expect(seen.slice(-4)).toEqual([0.2, 0.2, 0.2, 0.2]);
    expect(seen[0]).toBeCloseTo(0.84, 9);
  });

  it("is none where a schedule ends after the run, which is said at the start", async () => {
    const { output, events } = await run("capacity=100%@0,20%@40");
    expect(warnings(events)).toEqual([
      "live parameters reach their last values at step 40, after the run ends at 20: no checkpoint will be marked best",
    ]);
    expect(await (await openRunFolder(output)).find("best")).toBeNull();
  });

  it("of a run that goes on is no checkpoint that was written while a schedule was under way", async () => {
    const folderOf = await openRunFolder(join(folder.path, `run-${made++}`));
    const at = (step: number, validation: number) => ({
      ...contentsAt(step),
      validation,
      settings: { live: "capacity=100%@0,20%@50%", steps: 20 },
    });
    await folderOf.save(at(5, 1), { keep: 9, best: true });
    expect(await bestLoss(folderOf)).toBeNull();
    await folderOf.save(at(10, 3), { keep: 9, best: false });
    await folderOf.save(at(15, 2), { keep: 9, best: false });
    await folderOf.goBackTo(15);
    expect([await folderOf.find("best"), await bestLoss(folderOf)]).toEqual([folderOf.checkpoint(15), 2]);
  });

  it.each([
    ["", 0],
    ["capacity=50%", 0],
    ["capacity=50%@0,50%@90", 0],
    ["capacity=100%@0,50%@30,50%@90", 30],
    ["capacity=100%@0,50%@30\nother=1@10,2@50%", 100],
  ])("follows the schedules %j from step %d on", (live, step) => {
    expect(settledFrom({ live, steps: 200 })).toBe(step);
  });
});

describe("the report", () => {
  it("is named where it was written, and only there", async () => {
    const { output, events } = await run("");
    expect(events.at(-1)).toMatchObject({ kind: "end", report: join(output, "report.html") });
    mkdirSync(join(folder.path, `run-${made}`, "report.html"), { recursive: true }); // of the next run: in the way
    const other = await run("");
    expect(warnings(other.events)).toContainEqual(expect.stringContaining("report.html"));
    const outcome = new Outcome();
    for (const event of other.events) outcome.add(event);
    expect(outcome.result(other.output)).toMatchObject({ reason: "finished", report: null });
  });
});

describe("predictors that have not learned to skip", () => {
  it("are named when the run ends, in the log and in the report", async () => {
    const { output, events } = await run("capacity=100%@0,12.5%@8", { keeps: 1 });
    const said =
      "predictors still keep every token: layers.1 keeps 100.0% of the tokens by the causal rule, as the model " +
      "generates, where top-k keeps 12.5%; layers.3 100.0%, where top-k keeps 12.5%; train longer, or train them " +
      "alone: --only router,guess";
    expect(events.slice(-2)).toMatchObject([{ kind: "warning", step: 20, message: said }, { kind: "end" }]);
    const logged: unknown[] = [];
    for await (const entry of readLog(join(output, "log.jsonl")))
      if (entry.kind === "warning") logged.push(entry["message"]);
    expect(logged).toEqual([said]);
    expect(readFileSync(join(output, "report.html"), "utf8")).toContain(`<p class="warning">${said}</p>`);
    expect(warnings((await run("capacity=100%@0,12.5%@8")).events)).toEqual([]);
  });

  it("leave the run without a best checkpoint, since a loss of more work is lower for that alone", async () => {
    const { output, events } = await run("capacity=100%@0,12.5%@8", { keeps: 1 });
    expect(validations(events).map((e) => [e.step, e.counts, e.best])).toEqual(
      [4, 8, 12, 16, 20].map((step) => [step, step >= 8, false]),
    );
    const folderOf = await openRunFolder(output);
    expect([await folderOf.find("best"), await folderOf.find("last")]).toEqual([null, folderOf.checkpoint(20)]);
    await folderOf.goBackTo(20); // as a run that is resumed
    expect(await folderOf.find("best")).toBeNull();
    expect(validationText(validations(events).at(-1)!)).toMatch(
      /; not compared: predictors keep tokens that they should skip$/,
    );
  });

  it("are those that skip less than half of what they should", () => {
    const found = unskipping({ "top-k": { a: 0.125, b: 0.125, c: 0.98 }, causal: { a: 0.57, b: 0.55, c: 1 } });
    expect(found).toEqual([{ path: "a", causal: 0.57, topK: 0.125 }]);
    expect(unskippingText(found, { only: "", lr: 1e-3 })).toContain(
      "keep most tokens that they should skip: a keeps 57.0% of the tokens by the causal rule, as the model " +
        "generates, where",
    );
    expect(unskipping({ "top-k": { a: 0.125 } })).toEqual([]);
    expect(unskippingText([], { only: "", lr: 1e-3 })).toBeNull();
  });

  it.each([
    ["", 1e-3, "train longer, or train them alone at a higher learning rate: --only router,guess --predictor-lr 1e-2"],
    ["", 3e-2, "train longer, or train them alone: --only router,guess"],
    [
      "router,guess,head",
      1e-3,
      "train longer, or train them alone at a higher learning rate: --only router,guess --predictor-lr 1e-2",
    ],
    ["router,guess", 1e-3, "train longer, or at a higher learning rate: --predictor-lr 1e-2"],
    ["router, layers.1.guess", 1e-2, "train longer"],
  ])("with --only %j and --lr %d, get advice that is not followed already", (only, lr, advice) => {
    const said = unskippingText([{ path: "a", causal: 1, topK: 0.125 }], { only, lr })!;
    expect(said.slice(said.indexOf("; ") + 2)).toBe(advice);
  });
});

describe("the line of a validation", () => {
  const byRule = {
    "top-k": { loss: 2, tokens: 9, shares: { a: 0.125, b: 0.125 } },
    causal: { loss: 1, tokens: 9, shares: { a: 1, b: 0.5 } },
  };
  const event = {
    kind: "validation",
    step: 4,
    byRule,
    live: { capacity: 0.125 },
    counts: true,
    loss: 1,
    bitsPerByte: 1.5,
    best: true,
    passage: null,
  } as const;

  it("tells what each rule computes, and what keeps it from being compared", () => {
    const computed =
      "loss 2.0000 by top-k (3.000 bits/byte, 12.5% computed), 1.0000 by the causal rule, which decides (1.500 " +
      "bits/byte, 75.0% computed)";
    expect(validationText(event)).toBe(`${computed}, the best so far`);
    expect(validationText({ ...event, best: false })).toBe(
      `${computed}; not compared: predictors keep tokens that they should skip`,
    );
    expect(validationText({ ...event, best: false, counts: false })).toBe(
      `${computed}; not compared while it changes: capacity 0.125`,
    );
    const dense = { "top-k": { loss: 1, tokens: 9, shares: {} } };
    expect(validationText({ ...event, byRule: dense, best: false })).toBe("loss 1.0000 (1.500 bits/byte)");
  });
});

describe("a run with patience", () => {
  /** The loss of the causal rule in each validation. */
  const stopping = async (
    losses: readonly number[],
    change: Partial<RunOptions["settings"]> = {},
    more: Partial<RunOptions> = {},
    output = join(folder.path, `run-${made++}`),
  ): Promise<{ readonly output: string; readonly events: readonly TrainEvent[] }> => {
    class Given extends PretendTrainer {
      #steps = 0;
      override async step(...given: Parameters<PretendTrainer["step"]>): ReturnType<PretendTrainer["step"]> {
        const metrics = await super.step(...given);
        this.#steps = metrics.step;
        return metrics;
      }
      override async evaluate(
        ...given: Parameters<PretendTrainer["evaluate"]>
      ): ReturnType<PretendTrainer["evaluate"]> {
        return { ...(await super.evaluate(...given)), loss: losses[this.#steps / 4 - 1]! };
      }
    }
    const events: TrainEvent[] = [];
    const asked = pretendRun(
      output,
      data,
      { ...settings, ...change },
      { createTrainer: async () => new Given(change.keep === 8 ? { keeps: 1 } : {}), ...more },
    );
    for await (const event of trainModel(asked)) events.push(event);
    return { output, events };
  };
  const ended = (events: readonly TrainEvent[]) => events.findLast((e) => e.kind === "end")!;

  it("stops early once as many validations were not better than the best, and its last step is saved", async () => {
    const { output, events } = await stopping([3, 2, 2, 2.5, 1], { patience: 2 });
    expect(ended(events)).toMatchObject({ step: 16, reason: "stopped early" });
    expect(events.flatMap((e) => (e.kind === "checkpoint" ? [[e.step, e.best]] : []))).toEqual([
      [4, true],
      [8, true],
      [16, false],
    ]);
    expect((await readManifest((await openRunFolder(output)).checkpoint(16))).unimproved).toBe(2);
    const report = readFileSync(join(output, "report.html"), "utf8");
    expect(report).toContain("step 16 of 20, stopped early");
    const outcome = new Outcome();
    for (const event of events) outcome.add(event);
    expect(outcome.result(output)).toMatchObject({ reason: "stopped early", step: 16, steps: 20 });
  });

  it("does not stop while validations improve, or if too few do not, and finishes at its last step", async () => {
    for (const losses of [
      [5, 4, 3, 2, 1],
      [3, 4, 2, 3, 1],
      [3, 2, 1, 2, 2],
    ])
      expect(ended((await stopping(losses, { patience: 2 })).events)).toMatchObject({ step: 20, reason: "finished" });
    expect(ended((await stopping([1, 2, 3, 4, 5])).events), "by default there is no limit").toMatchObject({ step: 20 });
  });

  it("does not count validations during a schedule, or whose predictors keep what they should skip", async () => {
    const scheduled = await stopping([1, 2, 3, 4, 5], { patience: 2, live: "capacity=100%@0,20%@8" });
    // The first that counts is of step 8: it is the best, and the two that follow are not better.
    expect(ended(scheduled.events)).toMatchObject({ step: 16, reason: "stopped early" });
    // `keep: 8` has predictors that keep every token.
    const idle = await stopping([1, 2, 3, 4, 5], { patience: 1, keep: 8 });
    expect(ended(idle.events)).toMatchObject({ step: 20, reason: "finished" });
  });

  it("goes on from any checkpoint to the same end, stays stopped, and goes on with more patience", async () => {
    const losses = [3, 2, 2, 2.5, 3];
    const stop = new AbortController();
    const first = await stopping(
      losses,
      { patience: 2 },
      {
        signal: stop.signal,
        createTrainer: async () => new PretendTrainer({ before: (step) => (step === 3 ? stop.abort() : undefined) }),
      },
    );
    expect(ended(first.events)).toMatchObject({ reason: "interrupted" });
    const resumed = await stopping(losses, {}, { resume: "last" }, first.output);
    expect(ended(resumed.events)).toMatchObject({ step: 16, reason: "stopped early" });
    const again = await stopping(losses, {}, { resume: "last" }, first.output);
    expect(again.events.map((e) => e.kind)).toEqual(["begin", "end"]);
    expect(ended(again.events)).toMatchObject({ step: 16, reason: "stopped early" });
    const onwards = await stopping(losses, { patience: 4 }, { resume: "last" }, first.output);
    expect(ended(onwards.events)).toMatchObject({ step: 20, reason: "finished" });
  });

  it("is refused if nothing is held out", async () => {
    await expect(stopping([], { patience: 2, validation: 0 })).rejects.toThrow(
      "patience has no effect: nothing is held out for validation",
    );
  });
});
