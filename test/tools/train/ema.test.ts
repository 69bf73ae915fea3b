// Tests the moving average of the trained weights: its formula, evaluation by it, and continuing to the same bits.
import { isDeepStrictEqual } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { rawState } from "../../../src/compiler/autodiff/train-step.js";
import type { Device } from "../../../src/runtime/index.js";
import { compileTraining, type TrainingPrograms } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch, Evaluation, Trainer } from "../../../src/tools/train/types.js";
import { exampleSource } from "../../compiler/autodiff/models.js";
import { modelDevice } from "../../model-device.js";
import { random } from "../../random.js";

const SET = { dim: "16", heads: "2", depth: "2", vocab: "13", context: "16", capacity: "50%" };
const [ROWS, LENGTH, DECAY] = [2, 12, 0.75];
const SETTINGS = { learningRate: 0.01 };

function batchOf(seed: number): Batch {
  const rng = random(seed);
  const words = (): Uint32Array => Uint32Array.from({ length: ROWS * LENGTH }, () => rng.below(13));
  return { inputs: { tokens: words(), targets: words() }, rows: ROWS, length: LENGTH };
}

describe.each(["adamw", "lion"] as const)("averages beside %s", { tags: "long", timeout: 120_000 }, (kind) => {
  let device: Device;
  const optimizer =
    kind === "lion"
      ? ({ kind, beta1: 0.9, beta2: 0.99 } as const)
      : ({ kind, beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const);
  const compile = (microBatches: number, more: { readonly ema?: number }): TrainingPrograms =>
    compileTraining(
      { source: exampleSource("moby.mod"), file: "moby.mod", set: SET },
      // The table and the norms do not learn.
      { optimizer, clip: 1, microBatches, trained: ({ path }) => path.startsWith("layers."), ...more },
      { target: device.target },
    ).programs!;
  const trainer = (programs: TrainingPrograms, microBatches = 1): Promise<Trainer> =>
    createTrainer({
      programs,
      device,
      optimizer,
      weightDecay: 0.1,
      rows: ROWS,
      length: LENGTH,
      microBatches,
      seed: 9,
    });
  const evaluated = (one: Trainer): Promise<Evaluation> =>
    one.evaluate(
      (async function* () {
        yield batchOf(77);
      })(),
      "causal",
    );
  beforeAll(async () => {
    device = await modelDevice();
  });

  it("follow the weights, which learn as they do without averages", async () => {
    const [programs, plain] = [compile(1, { ema: DECAY }), compile(1, {})];
    const [one, other] = [await trainer(programs), await trainer(plain)];
    const start = await one.state();
    const averages = new Map(programs.trained.map((path) => [path, Float64Array.from(start.get(path)!.data)]));
    expect(programs.trained).toEqual(plain.trained);
    for (const seed of [1, 2, 3]) {
      const [a, b] = [await one.step([batchOf(seed)], SETTINGS), await other.step([batchOf(seed)], SETTINGS)];
      expect(a.loss).toBeCloseTo(b.loss, 5);
      const raw = await one.state();
      for (const [path, average] of averages)
        raw.get(rawState(path))!.data.forEach((w, i) => (average[i] = DECAY * average[i]! + (1 - DECAY) * w));
    }
    const [found, weights] = [await one.state(), await other.state()];
    for (const path of programs.trained) {
      found.get(rawState(path))!.data.forEach((w, i) => expect(w).toBeCloseTo(weights.get(path)!.data[i]!, 3));
      found.get(path)!.data.forEach((w, i) => expect(w).toBeCloseTo(averages.get(path)![i]!, 6));
      expect(found.get(path)!.data).not.toEqual(found.get(rawState(path))!.data);
    }
    expect([...found.keys()].filter((name) => name.startsWith("raw.")).length).toBe(programs.trained.length);
    // Evaluation reads the averages: a plain trainer with the averages as weights has the same loss.
    await other.restore(new Map([...(await other.state())].map(([name, t]) => [name, found.get(name) ?? t])));
    expect((await evaluated(one)).loss).toBe((await evaluated(other)).loss);
    one.dispose();
    other.dispose();
  });

  it.each([1, 2])("go on from the state to the same bits, in %d micro-batches", async (micro) => {
    const programs = compile(micro, { ema: DECAY });
    const [one, other] = [await trainer(programs, micro), await trainer(programs, micro)];
    const batches = (seed: number): readonly Batch[] => Array.from({ length: micro }, (_, i) => batchOf(seed + 10 * i));
    for (const seed of [1, 2]) await one.step(batches(seed), SETTINGS);
    await other.restore(await one.state());
    for (const seed of [3, 4]) {
      await one.step(batches(seed), SETTINGS);
      await other.step(batches(seed), SETTINGS);
    }
    expect(isDeepStrictEqual(await other.state(), await one.state())).toBe(true);
    expect((await evaluated(one)).loss).toBe((await evaluated(other)).loss);
    one.dispose();
    other.dispose();
  });
});
