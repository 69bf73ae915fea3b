// Runs that go on after interrupts, from checkpoints, on other machines and after kill -9: the same bytes.
import { spawn } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { nextLines } from "../../../src/tools/cli/train/train.js";
import { Outcome, type TrainResult } from "../../../src/tools/train/events.js";
import { readManifest } from "../../../src/tools/train/checkpoint-node.js";
import { readLog } from "../../../src/tools/train/log-node.js";
import { childOf } from "../../child.js";
import { PretendTrainer } from "./pretend.js";
import { fault, kinds, last, pretendRuns, settings, type More } from "./pretend-runs.js";

const { place, data, runTo, whole, undisturbed } = pretendRuns();

/** The lines below a run's result. */
const nextOf = (result: TrainResult): readonly string[] =>
  nextLines(
    result,
    { source: { file: "small.mod", text: "model Small() {}\n" }, read: () => null },
    { set: {}, tokenizer: null, precision: "f32" },
  );

describe("a run that goes on", () => {
  it("after an interrupt at any step ends with the bytes of one that was not disturbed", async () => {
    await undisturbed;
    for (const at of [1, 4, 5, 7, 13, 19]) {
      const output = place();
      const stop = new AbortController();
      const events = await runTo(output, {
        signal: stop.signal,
        pretence: { before: (step) => (step === at ? stop.abort() : undefined) },
      });
      expect(events.at(-1), "the step under way is finished, and saved").toMatchObject({
        kind: "end",
        step: at,
        reason: "interrupted",
      });
      expect((await readManifest(events.findLast((e) => e.kind === "checkpoint")!.path)).step).toBe(at);
      const after = await runTo(output, { resume: "last" });
      expect(after[0]).toMatchObject({
        kind: "begin",
        step: at,
        from: expect.stringContaining(`step-${String(at).padStart(8, "0")}`),
      });
      for (const file of ["model.safetensors", "state.safetensors"])
        expect(last(output, file).equals(last(whole, file)), `${file} after ${at}`).toBe(true);
      expect(JSON.parse(last(output, "manifest.json").toString())).toEqual(
        JSON.parse(last(whole, "manifest.json").toString()),
      );
    }
  });

  it("from an earlier checkpoint does so too, and its log has each step once", async () => {
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

describe("kill -9 at random moments", () => {
  it(
    "and going on each time ends with the bytes of a run that was not disturbed",
    { tags: "long", timeout: 120_000 },
    async () => {
      await undisturbed;
      const output = place();
      const child = childOf(new URL("./children/train.ts", import.meta.url));
      let x = Number(process.env["SOAK_SEED"] ?? "0") + 4711;
      let killed = 0;
      for (let done = false; !done;) {
        const run = spawn(process.execPath, [child, output, data, JSON.stringify(settings)], {
          stdio: ["ignore", "pipe", "inherit"],
        });
        let said = "";
        run.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
        const ended = new Promise<number | null>((resolve) => run.once("close", resolve));
        await new Promise((resolve) => run.stdout.once("data", resolve));
        x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
        // Each attempt runs longer, so that the run comes to an end.
        const timer = setTimeout(() => run.kill("SIGKILL"), 15 + (x >>> 24) * 0.5 + 80 * killed);
        expect([0, null], "it ends well, or is killed").toContain(await ended);
        clearTimeout(timer);
        done = said.includes("done");
        if (!done) killed++;
      }
      expect(killed).toBeGreaterThan(0);
      for (const file of ["model.safetensors", "state.safetensors"])
        expect(last(output, file).equals(last(whole, file)), file).toBe(true);
      const steps: number[] = [];
      for await (const entry of readLog(join(output, "log.jsonl"))) if (entry.kind === "step") steps.push(entry.step);
      expect(steps).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    },
  );
});
