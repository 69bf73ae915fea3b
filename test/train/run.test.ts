import { spawn } from "node:child_process";
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { readManifest } from "../../src/train/checkpoint-node.js";
import { TrainError } from "../../src/train/errors.js";
import type { TrainEvent } from "../../src/train/events.js";
import { readLog } from "../../src/train/log-node.js";
import { trainModel } from "../../src/train/run-node.js";
import type { RunOptions } from "../../src/train/run-options.js";
import { resumed, settingsRecord, withDefaults } from "../../src/train/settings.js";
import { childOf } from "../child.js";
import { scratch, text } from "./folder.js";
import { pretendModel, pretendRun, PretendTrainer, type Pretence } from "./pretend.js";

const folder = scratch();
afterAll(() => folder.remove());
let made = 0;
const place = (): string => join(folder.path, `run-${made++}`);
const data = folder.file("text.txt", text(20_000, 1));
const settings = {
  context: 32,
  batch: 2,
  accumulate: 2,
  steps: 20,
  validateEvery: 7,
  checkpointEvery: 5,
  keep: 2,
  validationWindows: 4,
  live: "capacity=100%@0,12.5%@50%",
};

type More = Partial<RunOptions> & { readonly pretence?: Pretence };
async function all(options: RunOptions): Promise<TrainEvent[]> {
  const events: TrainEvent[] = [];
  for await (const event of trainModel(options)) events.push(event);
  return events;
}
const runTo = (output: string, more: More = {}, change: Partial<RunOptions["settings"]> = {}): Promise<TrainEvent[]> =>
  all(pretendRun(output, data, { ...settings, ...change }, more));

async function fault(body: Promise<unknown>): Promise<TrainError> {
  const error = await body.then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(TrainError);
  return error as TrainError; // as was expected
}

const last = (output: string, file: string): Buffer => readFileSync(join(output, "checkpoints", "last", file));
/** Without its steps: `b0c5e5`. */
const kinds = (events: readonly TrainEvent[]): string =>
  events.flatMap((e) => (e.kind === "step" ? [] : [`${e.kind[0]}${e.step}`])).join("");

const whole = place();
const undisturbed = runTo(whole);

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
      tokens: { training: 19_000, validation: 1000 },
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
      `the checkpoints after step 10 are set aside in ${join(output, "checkpoints", "set-aside-1")}`,
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
    expect(kinds(await runTo(output, { resume: "last" }, { steps: 22 }))).toBe("b20v21c21v22c22e22");
    expect((await fault(runTo(output, { resume: "last" }, { steps: 10 }))).message).toBe(
      "the checkpoint has done 22 steps, the run is to have 10",
    );
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
      "tunings: 2, the checkpoint's 1: results may differ in their last bits from those of a run that went on as it was",
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
  it("and going on each time ends with the bytes of a run that was not disturbed", async () => {
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
      // Later and later, so that it comes to an end.
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
  }, 120_000);
});

describe("what is wrong is said, and nothing is lost:", () => {
  const fresh = async (): Promise<string> => {
    await undisturbed;
    const output = place();
    cpSync(whole, output, { recursive: true, verbatimSymlinks: true });
    return output;
  };
  const unchanged = (output: string): void =>
    expect(last(output, "model.safetensors").equals(last(whole, "model.safetensors"))).toBe(true);

  it("a loss that is no number stops the run, names what went wrong first and the checkpoint that is still good", async () => {
    const output = place();
    const events: TrainEvent[] = [];
    const trainer = new PretendTrainer({ diverges: 13 });
    const run = async (): Promise<void> => {
      for await (const event of trainModel(pretendRun(output, data, settings, { createTrainer: async () => trainer })))
        events.push(event);
    };
    const { code, message, hint } = await fault(run());
    expect(code).toBe("diverged");
    expect(message).toBe(
      "step 13: the loss is NaN: the first value that is not finite is the result of exp in layers.1.inner, small.mod:3",
    );
    expect(hint).toContain(`the last good checkpoint is ${join(output, "checkpoints", "step-00000010")}`);
    expect(events.filter((e) => e.kind === "step")).toHaveLength(12);
    expect((await readManifest(join(output, "checkpoints", "step-00000010"))).step).toBe(10);
    expect(trainer.disposed).toBe(true);
  });

  it("weights that are no numbers are never saved", async () => {
    class Broken extends PretendTrainer {
      override async state(): ReturnType<PretendTrainer["state"]> {
        const state = await super.state();
        state.get("embed.table")!.data[7] = Number.NaN;
        return state;
      }
    }
    const { message } = await fault(runTo(place(), { createTrainer: async () => new Broken() }));
    expect(message).toBe("after step 5 embed.table holds a value that is not finite");
  });

  it("a folder that holds a run", async () => {
    const output = await fresh();
    const { message, hint } = await fault(runTo(output));
    expect([message, hint]).toEqual([
      `${output} holds a run already`,
      "--resume goes on with it; else give another folder",
    ]);
    unchanged(output);
  });

  it("a changed model", async () => {
    const output = await fresh();
    const change = async (model: Partial<RunOptions["model"]>): Promise<string> =>
      (await fault(runTo(output, { resume: "last", model: { ...pretendModel, ...model } }))).message;
    expect(await change({ sources: [{ path: "small.mod", text: "model Small() { }\n" }] })).toMatch(
      /^the model is not the one of .*step-00000020: small\.mod has changed$/,
    );
    expect(await change({ parameters: { dim: "64", capacity: "12.5%" } })).toMatch(/: dim is 64, it was 32$/);
    expect(await change({ parameters: { dim: "32", capacity: "12.5%", more: "1" } })).toMatch(/: more is new$/);
    expect(await change({ name: "Large" })).toMatch(/: it is Large, that one Small$/);
    expect(await change({ weights: [] })).toContain('unexpected: "model.embed.weight"');
    unchanged(output);
  });

  it("changed settings, but not those that change nothing of what was learned", async () => {
    const output = await fresh();
    const { message, hint } = await fault(runTo(output, { resume: "last" }, { batch: 4, lr: 1 }));
    expect(message).toBe("--batch 4 and --lr 1 contradict the run, which was begun with --batch 2 and with --lr 0.001");
    expect(hint).toContain("leave --batch and --lr out to go on as it was");
    await runTo(output, { resume: "last" }, { validateEvery: 3, checkpointEvery: 2, keep: 9, validationWindows: 0 });
    const kept = settingsRecord(withDefaults(settings));
    expect(resumed(kept, { steps: 30 })).toEqual({ ...withDefaults(settings), steps: 30 });
    expect(() => resumed({ ...kept, beta1: "0.9" }, {})).toThrow("the checkpoint does not say what beta1 was");
    unchanged(output);
  });

  it("another text, a text that has vanished", async () => {
    const output = await fresh();
    const other = folder.file("other.txt", text(20_000, 2));
    expect((await fault(all(pretendRun(output, other, settings, { resume: "last" })))).message).toBe(
      `${other} is not the text that the run was begun with`,
    );
    const gone = join(folder.path, "gone.txt");
    expect((await fault(all(pretendRun(output, gone, settings, { resume: "last" })))).message).toContain(
      "there is no such file",
    );
    unchanged(output);
  });

  it("a text that vanishes or changes during the run: it goes on with what it has read", async () => {
    const moving = folder.file("moving.txt", text(20_000, 1));
    const output = place();
    const events = await all(
      pretendRun(output, moving, settings, {
        pretence: {
          before: (step) => {
            if (step === 3) appendFileSync(moving, "x");
            if (step === 12) rmSync(moving);
          },
        },
      }),
    );
    expect(events.flatMap((e) => (e.kind === "warning" ? [`${e.step} ${e.message}`] : []))).toEqual([
      `5 ${moving} has changed; the run goes on with the text as it was`,
      `14 cannot read ${moving}: the file is gone; the run goes on with the text as it was`,
    ]);
    unchanged(output);
  });

  it("tokens that are cut short under a run end it with its checkpoints intact", async () => {
    const output = place();
    const cache = (): string =>
      join(
        output,
        ".cache",
        readdirSync(join(output, ".cache")).find((name) => name.endsWith(".bin"))!,
      );
    const { message } = await fault(
      runTo(output, { pretence: { before: (step) => (step === 11 ? truncateSync(cache(), 100) : undefined) } }),
    );
    expect(message).toMatch(/was cut short while it was in use$/);
    await runTo(output, { resume: "last" });
    unchanged(output);
  });

  it("a text shorter than the context, tokens the model does not know", async () => {
    const short = folder.file("short.txt", text(40, 1));
    expect((await fault(all(pretendRun(place(), short, settings)))).message).toContain("the text has 40 tokens");
    const { message } = await fault(runTo(place(), { model: { ...pretendModel, vocabulary: 100 } }));
    expect(message).toMatch(/text\.txt has the token 126, the model knows those below 100$/);
  });

  it("a broken checkpoint, with an older one that is whole", async () => {
    const output = await fresh();
    truncateSync(join(output, "checkpoints", "step-00000020", "model.safetensors"), 99);
    const { hint } = await fault(runTo(output, { resume: "last" }));
    expect(hint).toBe("the checkpoint of step 15 is whole: --resume 15 goes on from it");
    await runTo(output, { resume: 15 });
    unchanged(output);
  });

  it("a log that is something else, a report that cannot be written", async () => {
    const output = await fresh();
    writeFileSync(join(output, "log.jsonl"), "not a log\n");
    expect((await fault(runTo(output, { resume: "last" }))).message).toMatch(
      /log\.jsonl:1: the line is no entry of a log$/,
    );
    renameSync(join(output, "log.jsonl"), join(output, "diary"));
    rmSync(join(output, "report.html"));
    mkdirSync(join(output, "report.html"));
    const events = await runTo(output, { resume: "last" }, { steps: 22 });
    expect(
      events.flatMap((e) => (e.kind === "warning" ? [e.message] : [])),
      "a report stops no run",
    ).toEqual(
      [1, 2, 3]
        .map(() => expect.stringMatching(/^cannot write .*report\.html: /))
        .slice(0, events.filter((e) => e.kind === "warning").length),
    );
    expect(events.some((e) => e.kind === "warning")).toBe(true);
    expect(events.at(-1)).toMatchObject({ kind: "end", step: 22, reason: "finished" });
  });
});

describe("settings", () => {
  it.each([
    [{ steps: 0 }, "steps is 0: it must be a whole number, at least 1"],
    [{ batch: 1.5 }, "batch is 1.5"],
    [{ keep: 0 }, "keep is 0"],
    [{ seed: -1 }, "the seed is -1"],
    [{ beta2: 1 }, "beta2 is 1: it must be at least 0 and below 1"],
    [{ clip: -1 }, "clip is -1: it must be at least 0"],
    [{ lr: -1 }, "the learning rate is -1"],
    [{ warmup: 2000 }, "the warm-up takes 2000 steps"],
    [{ live: "capacity" }, '"capacity" gives no live parameter a value'],
    [{ live: "capacity=x@1" }, '"x@1" is no value at a step'],
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
