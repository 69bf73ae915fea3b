// A step of one batch, and the same sequences in any number of micro-batches, are one step.
import { expect, it } from "vitest";
import { compileTraining, type TrainingPrograms } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch, StepMetrics } from "../../../src/tools/train/types.js";
import { exampleSource } from "../../compiler/autodiff/models.js";
import { testDevice } from "../../device.js";
import { random } from "../../random.js";

const [SEQUENCES, LENGTH, STEPS] = [8, 16, 3];
const set = { dim: "16", heads: "2", depth: "2", vocab: "13", context: "16", capacity: "50%" };
const optimizer = { kind: "sgd", momentum: 0.9, nesterov: false } as const;
const rng = random(3);
const words = (): Uint32Array => Uint32Array.from({ length: SEQUENCES * LENGTH }, () => rng.below(13));
const all = Array.from({ length: STEPS }, () => ({ tokens: words(), targets: words() }));

/** The programs for one micro-batch (false), and for several (true), with any number. */
const compiled = new Map<boolean, TrainingPrograms>();

async function run(micro: number, atOnce: boolean): Promise<readonly StepMetrics[]> {
  const device = await testDevice();
  const source = { source: exampleSource("moby.mod"), file: "moby.mod", set };
  const programs =
    compiled.get(micro > 1) ??
    compileTraining(source, { optimizer, clip: null, microBatches: micro }, { target: device.target }).programs;
  compiled.set(micro > 1, programs!);
  const rows = SEQUENCES / micro;
  const trainer = await createTrainer({
    programs: programs!,
    device,
    optimizer,
    weightDecay: 0,
    rows,
    length: LENGTH,
    microBatches: micro,
    seed: 1,
  });
  try {
    const step = (n: number): Promise<StepMetrics> => {
      const part = (data: Uint32Array, i: number): Uint32Array =>
        data.slice(i * rows * LENGTH, (i + 1) * rows * LENGTH);
      const batches = Array.from({ length: micro }, (_, i): Batch => ({
        inputs: { tokens: part(all[n]!.tokens, i), targets: part(all[n]!.targets, i) },
        rows,
        length: LENGTH,
      }));
      return trainer.step(batches, { learningRate: 0.1 });
    };
    if (atOnce) return await Promise.all(all.map((_, n) => step(n)));
    const found: StepMetrics[] = [];
    for (let n = 0; n < STEPS; n++) found.push(await step(n));
    return found;
  } finally {
    trainer.dispose();
  }
}

it(
  "takes the same steps in 1, 2, 4 and 8 micro-batches, whether each is waited for or not",
  { tags: "long" },
  async () => {
    const one = await run(1, false);
    for (const [micro, atOnce] of [
      [1, true],
      [2, false],
      [4, false],
      [8, false],
      [4, true],
    ] as const) {
      const found = await run(micro, atOnce);
      // Sums of the same numbers in another order: a few units of the last place of f32, grown over three steps.
      found.forEach((metrics, n) => {
        expect(metrics.loss, `${micro} micro-batches, step ${n}`).toBeCloseTo(one[n]!.loss, 4);
        expect(metrics.gradientNorm, `${micro} micro-batches, step ${n}`).toBeCloseTo(one[n]!.gradientNorm, 3);
      });
    }
  },
);
