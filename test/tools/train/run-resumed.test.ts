// Runs that go on from checkpoints and on other machines. run-kinds.test.ts interrupts and kills runs.
import { cpSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { nextLines } from "../../../src/tools/cli/train/train.js";
import { Outcome, type TrainResult } from "../../../src/tools/train/events.js";
import { readLog } from "../../../src/tools/train/log-node.js";
import { PretendTrainer } from "./pretend.js";
import { fault, kinds, last, pretendRuns, type More } from "./pretend-runs.js";

const { place, runTo, whole, undisturbed } = pretendRuns();

/** The lines below a run's result. */
const nextOf = (result: TrainResult): readonly string[] =>
  nextLines(
    result,
    { source: { file: "small.mod", text: "model Small() {}\n" }, read: () => null },
    { set: {}, tokenizer: null, precision: "f32" },
  );

describe("the last line", () => {
  // all that is read
  const result: TrainResult = { output: "run", checkpoint: "run/c", bestSoFar: null } as TrainResult;
  const last = (inputs: string, body: string): string =>
    nextLines(
      result,
      {
        source: {
          file: "m.mod",
          text: `model M() {
  weight table: f32[256, 8]
  forward(${inputs}) -> f32[B, T, 256] { ${body} @ transpose(table) }
}
`,
        },
        read: () => null,
      },
      { set: {}, tokenizer: null, precision: "f32" },
    ).at(-1)!;
  const tokens = "tokens: u32[B, T <= 64]";

  it.each([
    [tokens, "table[tokens]", 'modc generate run --prompt "…"'],
    [
      `source: u32[B, S <= 8], ${tokens}`,
      "(table[tokens] + mean(table[source], axis: 1, keep: true))",
      "--input source=…",
    ],
    [`x: f32[B, 8], ${tokens}, at: f32[B, T, 8]`, "(table[tokens] + x[:, None] + at)", "--input x=… --input at=…"],
    [tokens, "(table[tokens] + mean(table[tokens], axis: 1, keep: true))", "modc eval run"],
  ])("of a model of %s names what generation needs", (inputs, body, expected) => {
    expect(last(inputs, body)).toContain(expected);
  });
});

describe("a run that goes on", () => {
  it("from an earlier checkpoint ends with the same bytes, and its log has each step once", async () => {
    const output = place();
    await runTo(output, {}, { keep: 9 });
    const events = await runTo(output, { resume: 10 }, { keep: 9 });
    expect(events[0]).toMatchObject({ step: 10 });
    expect(events.flatMap((e) => (e.kind === "warning" ? [e.message] : []))).toEqual([
      `the checkpoints after step 10 were moved to ${join(output, "checkpoints", "set-aside-1")}`,
    ]);
    expect(events.filter((e) => e.kind === "checkpoint").map((e) => [e.step, e.best])).toEqual([
      [14, true],
      [15, false],
      [20, true],
    ]);
    expect(last(output, "state.safetensors").equals(last(whole, "state.safetensors"))).toBe(true);
    const steps: number[] = [];
    for await (const entry of readLog(join(output, "log.jsonl"))) if (entry.kind === "step") steps.push(entry.step);
    expect(steps).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
  });

  it("of which all is done ends at once; one that is to be longer goes on", async () => {
    const output = place();
    cpSync(await undisturbed.then(() => whole), output, { recursive: true, verbatimSymlinks: true });
    expect(kinds(await runTo(output, { resume: "last" }))).toBe("b20e20");
    expect(kinds(await runTo(output, { resume: "last" }, { steps: 22 }))).toBe("b20w20v21c21v22c22e22");
    expect((await fault(runTo(output, { resume: "last" }, { steps: 10 }))).message).toBe(
      "the run is already at step 22, beyond --steps 10",
    );
  });

  it("says before its first step which values of schedules jump, and why", async () => {
    const output = place();
    cpSync(await undisturbed.then(() => whole), output, { recursive: true, verbatimSymlinks: true });
    const events = await runTo(output, { resume: "last" }, { steps: 40 });
    expect(events.slice(0, 2)).toMatchObject([
      { kind: "begin", step: 20 },
      {
        kind: "warning",
        step: 20,
        message:
          "the learning rate is 0.00055 in step 21, and was 0.0001: schedules span the whole run, which " +
          "now has 40 steps instead of 20; to continue with the last values, start another run with --weights, " +
          "--live and --schedule constant",
      },
    ]);
    const falls = place();
    await runTo(falls, {}, { steps: 10 });
    const [, jump] = await runTo(falls, { resume: "last" }, { steps: 40 });
    expect(jump).toMatchObject({
      message: expect.stringMatching(/; capacity is 0\.56[23] in step 11, and was 0\.125: /),
    });
    // A run that goes on as it was has no jump, nor has one whose schedule is constant.
    const stop = new AbortController();
    const same = place();
    const before = (step: number): void => (step === 12 ? stop.abort() : undefined);
    await runTo(same, { signal: stop.signal, pretence: { before } });
    expect(kinds((await runTo(same, { resume: "last" })).slice(0, 2))).toBe("b12");
    const constant = { schedule: "constant", live: "" } as const;
    const steady = place();
    await runTo(steady, {}, { ...constant, steps: 5 });
    expect(kinds((await runTo(steady, { resume: "last" }, { ...constant, steps: 6 })).slice(0, 2))).toBe("b5");
  });

  it("tells the best checkpoint of its folder, also where it is of before", async () => {
    const output = place();
    cpSync(await undisturbed.then(() => whole), output, { recursive: true, verbatimSymlinks: true });
    const resultOf = async (more: More, changed: object = {}): Promise<TrainResult> => {
      const outcome = new Outcome();
      for (const event of await runTo(output, { resume: "last", ...more }, changed)) outcome.add(event);
      return outcome.result(output);
    };
    const best = join(output, "checkpoints", "step-00000020");
    const done = await resultOf({});
    expect([done.best, done.bestSoFar]).toEqual([null, best]);
    expect(nextOf(done)).toContain(`the best checkpoint is ${best}`);
    const stop = new AbortController();
    const before = (step: number): void => (step === 23 ? stop.abort() : undefined);
    const more = { signal: stop.signal, pretence: { before } };
    const stopped = await resultOf(more, { steps: 40, validateEvery: 40 });
    expect([stopped.checkpoint, stopped.bestSoFar]).toEqual([join(output, "checkpoints", "step-00000023"), best]);
    expect(nextOf(stopped)).toContain(`the best checkpoint is ${best}`);
  });

  it("on another machine says that bits may differ", async () => {
    const output = place();
    const on = (machine: Record<string, string>): More => ({
      createTrainer: async () => Object.assign(new PretendTrainer(), { machine }),
    });
    await runTo(output, on({ device: "llvmpipe", tunings: "1" }));
    const warnings = async (machine: Record<string, string>): Promise<string[]> =>
      (await runTo(output, { ...on(machine), resume: "last" })).flatMap((e) =>
        e.kind === "warning" ? [e.message] : [],
      );
    expect(await warnings({ device: "llvmpipe", tunings: "1" })).toEqual([]);
    expect(await warnings({ device: "llvmpipe", tunings: "2" })).toEqual([
      "tunings: 2, the checkpoint's 1: results may differ in the last bits from an uninterrupted run",
    ]);
  });

  it("keeps what an interrupt during validation would have lost", async () => {
    const output = place();
    const stop = new AbortController();
    const events = await runTo(output, { signal: stop.signal, pretence: { onEvaluate: () => stop.abort() } });
    expect(kinds(events)).toBe("b0c5c7e7");
    await runTo(output, { resume: "last" });
    expect(last(output, "model.safetensors").equals(last(whole, "model.safetensors"))).toBe(true);
  });
});
