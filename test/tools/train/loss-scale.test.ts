// Training whose products round to f16: a step with an infinite gradient changes nothing but the scale of the loss, and
// runs with such steps are logged, resumed and ended.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GOOD_STEPS, SCALE } from "../../../src/compiler/autodiff/loss-scale.js";
import type { Optimizer } from "../../../src/compiler/autodiff/train-step.js";
import type { Device } from "../../../src/runtime/index.js";
import { stepText } from "../../../src/tools/cli/train/train-progress.js";
import { train, type TrainOptions } from "../../../src/tools/train/index.js";
import type { TrainEvent } from "../../../src/tools/train/events.js";
import { readLog } from "../../../src/tools/train/log-node.js";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch, StateTensor, Trainer, TrainingState } from "../../../src/tools/train/types.js";
import { modelDevice } from "../../model-device.js";
import { random } from "../../random.js";
import { scratch } from "./folder.js";
import { PretendTrainer } from "./pretend.js";
import { fault, last, pretendRuns } from "./pretend-runs.js";

const { place, data, runTo } = pretendRuns();
const folder = scratch();
afterAll(() => folder.remove());

/** Layers with routes, experts and states; `factor` lifts the gradients above the range of f16. */
const source = (factor: string): string => `
import { Embedding, Layer, Linear, MoD, MoE, RMSNorm, SwiGLU } from "std"

model Small(dim: int = 16) {
  table:  Embedding(256, dim)
  first:  MoD(Layer(dim, 2, hidden: 20), dim, 50%)
  second: MoE([for e in 0..3: SwiGLU(dim, 10)], dim, 2, loss_free: true, rate: 0.25)
  norm:   RMSNorm(dim)
  head:   Linear(dim, 256)

  forward(tokens: u32[B, T <= 16]) -> f32[B, T, 256] {
    x = table(tokens)
    x = x + first(x)
    x = x + second(x)
    head(norm(x))
  }
  objective(tokens: u32[B, T <= 16], targets: u32[B, T]) {
    loss next = cross_entropy(forward(tokens), targets) * ${factor}
  }
}`;

const OPTIMIZERS: readonly Optimizer[] = [
  { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 },
  { kind: "sgd", momentum: 0.9, nesterov: false },
  { kind: "muon", momentum: 0.95, beta1: 0.9, beta2: 0.95, eps: 1e-8 },
  { kind: "lion", beta1: 0.9, beta2: 0.99 },
  { kind: "adafactor" },
];
const [ROWS, LENGTH] = [2, 12];
const SETTINGS = { learningRate: 0.003 };

function batchesOf(seed: number, count: number): readonly Batch[] {
  const rng = random(seed);
  const words = (): Uint32Array => Uint32Array.from({ length: ROWS * LENGTH }, () => rng.below(256));
  return Array.from({ length: count }, () => ({
    inputs: { tokens: words(), targets: words() },
    rows: ROWS,
    length: LENGTH,
  }));
}

/** The state with another scale, as after that many steps that updated. */
function withScale(state: TrainingState, scale: number, good = 0): TrainingState {
  const scalar = (value: number): StateTensor => ({ dtype: "f32", shape: [], data: Float32Array.of(value) });
  return new Map([...state, [SCALE, scalar(scale)], [GOOD_STEPS, scalar(good)]]);
}

describe.each(OPTIMIZERS)("$kind with a scaled loss", { tags: "long", timeout: 240_000 }, (optimizer) => {
  let device: Device;
  beforeAll(async () => {
    device = await modelDevice();
  });
  it.each([1, 2])("changes nothing in a step that overflows, in %d micro-batches", async (microBatches) => {
    const { programs } = compileTraining(
      { source: source("1.0"), file: "small.mod" },
      { optimizer, clip: 1, microBatches, ema: 0.75, ownRates: true, products: "f16" },
      { target: device.target },
    );
    const trainer = (): Promise<Trainer> =>
      createTrainer({
        programs: programs!,
        device,
        optimizer,
        weightDecay: 0.1,
        rows: ROWS,
        length: LENGTH,
        microBatches,
        seed: 3,
        rules: [],
      });
    const [one, other] = [await trainer(), await trainer()];
    try {
      const begun = await one.state();
      expect([begun.get(SCALE)!.data[0], begun.get(GOOD_STEPS)!.data[0]]).toEqual([65536, 0]);
      await one.restore(withScale(begun, 2 ** 26, 999));
      const all = Array.from({ length: 12 }, (_, i) => batchesOf(i + 1, microBatches));
      let skipped = 0;
      for (; ; skipped++) {
        const before = await one.state();
        const { scaling, gradientNorm, loss } = await one.step(all[skipped]!, SETTINGS);
        if (!scaling!.skipped) break;
        expect(scaling).toEqual({ scale: 2 ** (25 - skipped), skipped: true });
        expect([Number.isFinite(loss), Number.isFinite(gradientNorm)]).toEqual([true, false]);
        for (const [name, { data: found }] of await one.state())
          if (!name.startsWith("step.")) expect(found, name).toEqual(before.get(name)!.data);
      }
      expect(skipped).toBeGreaterThan(0);
      // The other begins with the scale that does not overflow, and sees the same batches from there on.
      await other.restore(withScale(begun, 2 ** (26 - skipped)));
      await other.step(all[skipped]!, SETTINGS);
      const rest = all.slice(skipped + 1);
      const [a, b] = [
        await Promise.all(rest.map((batches) => one.step(batches, SETTINGS))),
        await Promise.all(rest.map((batches) => other.step(batches, SETTINGS))),
      ];
      expect(a.map((m) => [m.loss, m.gradientNorm, m.scaling])).toEqual(
        b.map((m) => [m.loss, m.gradientNorm, m.scaling]),
      );
      const [found, wanted] = [await one.state(), await other.state()];
      const counts = ["step.count", "step.skipped"];
      expect(counts.map((name) => found.get(name)!.data[0])).toEqual([all.length, skipped]);
      for (const [name, { data: values }] of wanted)
        if (!counts.includes(name)) expect(found.get(name)!.data, name).toEqual(values);
      // It is part of the state, and doubles after 1000 steps that update.
      await other.restore(withScale(found, 64, 998));
      await one.restore(await other.state());
      const grown: number[] = [];
      for (const batches of all.slice(0, 3)) grown.push((await one.step(batches, SETTINGS)).scaling!.scale);
      for (const batches of all.slice(0, 3)) await other.step(batches, SETTINGS);
      expect(grown).toEqual([64, 128, 128]);
      expect(isDeepStrictEqual(await other.state(), await one.state())).toBe(true);
      const without = new Map(await one.state());
      without.delete("step.skipped");
      await expect(one.restore(without)).rejects.toThrow(/called step\.skipped/);
    } finally {
      one.dispose();
      other.dispose();
    }
  });
});

describe("a run with skipped steps", () => {
  const skips = [3, 4, 9];
  const scaling = (step: number) => ({
    scale: 65536 / 2 ** skips.filter((n) => n <= step).length,
    skipped: skips.includes(step),
  });

  it("goes on, and its log has the scale", async () => {
    const output = place();
    const events = await runTo(output, { pretence: { scaling } });
    expect(events.at(-1)).toMatchObject({ kind: "end", step: 20, reason: "finished" });
    const lines: (readonly unknown[])[] = [];
    for await (const entry of readLog(join(output, "log.jsonl")))
      if (entry.kind === "step") lines.push([entry["scale"], entry["skipped"], entry["gradientNorm"] === "Infinity"]);
    expect(lines).toEqual(
      Array.from({ length: 20 }, (_, i) => [scaling(i + 1).scale, skips.includes(i + 1), skips.includes(i + 1)]),
    );
    expect(readFileSync(join(output, "report.html"), "utf8")).not.toMatch(/NaN|Infinity/);
    const steps = events.filter((e): e is Extract<TrainEvent, { kind: "step" }> => e.kind === "step");
    expect(stepText(steps[2]!, 20, [])).toContain("|g| Infinity  skipped; next loss scale 32768");
    expect(stepText(steps[4]!, 20, [])).not.toContain("skipped");
  });

  it("is resumed after such a step to the same bytes", async () => {
    const [whole, parts] = [place(), place()];
    await runTo(whole, { pretence: { scaling } });
    const stop = new AbortController();
    const before = (step: number): void => (step === 4 ? stop.abort() : undefined);
    await runTo(parts, { signal: stop.signal, pretence: { scaling, before } });
    await runTo(parts, { resume: "last", pretence: { scaling } });
    for (const file of ["model.safetensors", "state.safetensors"])
      expect(last(parts, file).equals(last(whole, file)), file).toBe(true);
  });

  it("ends where the scale falls below 1, or where a value is not finite and the step was not skipped", async () => {
    const falling = (step: number) => ({ scale: 2 ** (7 - step), skipped: true });
    const { code, message, hint } = await fault(runTo(place(), { pretence: { scaling: falling } }));
    expect([code, message]).toEqual([
      "diverged",
      "step 8: the norm of the gradients is Infinity, and the scale of the loss fell below 1: " +
        "the first value that is not finite is the result of exp in layers.1.inner, small.mod:3",
    ]);
    expect(hint).toContain("step-00000005; a lower --lr, a longer --warmup or a smaller --clip may help, and so may");
    expect(hint).toContain("--precision bf16, which holds larger numbers");
    class Odd extends PretendTrainer {
      override async step(...given: Parameters<PretendTrainer["step"]>): ReturnType<PretendTrainer["step"]> {
        return { ...(await super.step(...given)), loss: Number.NaN, scaling: { scale: 64, skipped: false } };
      }
    }
    const odd = await fault(runTo(place(), { createTrainer: async () => new Odd() }));
    expect(odd.message).toMatch(/^step 1: the loss is NaN: /);
  });
});

describe("`train` with products in f16 and bf16", { tags: "long", timeout: 240_000 }, () => {
  let device: Device;
  beforeAll(async () => {
    device = await modelDevice();
  });
  const model = folder.file("small.mod", source("4096.0"));
  const common = { data, batch: ROWS, context: LENGTH, schedule: "constant", warmup: 0, checkpointEvery: 12 } as const;
  const options = (output: string, more: Partial<TrainOptions>): TrainOptions => ({
    ...common,
    device,
    output,
    ...more,
  });

  it.each([
    ["f16", 1, "adamw"],
    ["f16", 2, "lion"],
    ["bf16", 2, "adamw"],
  ] as const)(
    "resumes in %s with %d batches in a step by %s to the same bytes",
    async (products, accumulate, optimizer) => {
      const precision = { products };
      const given = { precision, accumulate, optimizer, ema: 0.5 } as const;
      const scalings: unknown[] = [];
      const onEvent = (event: TrainEvent): void =>
        void (event.kind === "step" && scalings.push(event.metrics.scaling ?? null));
      const [whole, parts] = [
        options(place(), { ...given, steps: 24, onEvent }),
        options(place(), { ...given, steps: 12 }),
      ];
      const ended = await train(model, whole);
      await train(model, parts);
      const { checkpoint } = await train(null, { output: parts.output, resume: true, steps: 24, device });
      for (const file of ["model.safetensors", "state.safetensors"])
        expect(readFileSync(join(checkpoint!, file)).equals(readFileSync(join(ended.checkpoint!, file))), file).toBe(
          true,
        );
      expect(Number.isFinite(ended.loss)).toBe(true);
      if (products === "bf16") expect(scalings).toEqual(scalings.map(() => null));
      else {
        // The factor is too large for the first scale, not for one that is a thousandth of it.
        const skipped = scalings.map((s) => (s as { readonly skipped: boolean }).skipped);
        const count = skipped.filter(Boolean).length;
        expect(count).toBeGreaterThan(1);
        expect(skipped[0]).toBe(true);
        expect(count).toBeLessThan(12);
        expect(scalings.at(-1)).toEqual({ scale: 65536 / 2 ** count, skipped: false });
      }
      const other = train(null, {
        output: parts.output,
        resume: true,
        steps: 25,
        device,
        precision: { products: "f32" },
      });
      await expect(other).rejects.toThrow(
        `--precision f32 contradicts the run, which started with --precision ${products}`,
      );
    },
  );

  it("ends with one message where the loss itself is infinite", async () => {
    const far = folder.file("far.mod", source("1.0").replace("head(norm(x))", "head(norm(x) * 100000.0)"));
    const steps: TrainEvent[] = [];
    const onEvent = (event: TrainEvent): void => void (event.kind === "step" && steps.push(event));
    const error = await fault(train(far, options(place(), { precision: { products: "f16" }, steps: 40, onEvent })));
    expect(steps).toHaveLength(16);
    expect(error.message).toMatch(
      /^step 17: the loss is (NaN|Infinity), and the scale of the loss fell below 1: the first value that is not finite is the result of \w+ in head, std\/linear\.mod:\d+$/,
    );
    expect(error.hint).toContain("step-00000012; a lower --lr");
  });
});
