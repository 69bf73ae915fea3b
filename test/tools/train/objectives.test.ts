// The objectives of examples/objectives on the device: a trainer fed with batches of their inputs has the losses and
// gradient norms of the reference. Their meaning is judged by PyTorch, in test/compiler/autodiff/pytorch.test.ts.
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { GRADIENT_NORM, RATES, trainStep } from "../../../src/compiler/autodiff/train-step.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { train } from "../../../src/tools/train/index.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch } from "../../../src/tools/train/types.js";
import { exampleSource, lowered } from "../../compiler/autodiff/models.js";
import { testDevice } from "../../device.js";
import { random } from "../../random.js";
import { scratch } from "./folder.js";

const SET = { dim: "32", heads: "2", depth: "2", vocab: "13", context: "32", capacity: "50%" };
const [ROWS, LENGTH, STEPS, RATE] = [3, 16, 3, 0.003];
const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
const options = { optimizer, clip: 1 };
/** About what inputs of floats have: log-probabilities of texts and of tokens. */
const MEANS: Readonly<Record<string, number>> = { reference_chosen: -40, reference_rejected: -40, old: -2.6 };

it.each(["dpo", "grpo", "reward", "classify", "masked", "distill", "embed"])(
  "%s steps as the reference does",
  { tags: "long" },
  async (name) => {
    const source = exampleSource(`objectives/${name}.mod`);
    const device = await testDevice("default");
    const { programs } = compileTraining(
      { source, file: `${name}.mod`, set: SET },
      { ...options, microBatches: 1 },
      { target: device.target },
    );
    const { model, graph } = lowered(source, { set: SET });
    const rng = random(5);
    const weights = new Map(
      model.weights.map(({ path, shape }) => {
        const scale = shape.length < 2 ? 0.1 : 1 / Math.sqrt(shape.at(-1)!);
        const value = (): number => (shape.length < 2 ? 1 : 0) + scale * rng.normal();
        return [path, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value)];
      }),
    );
    // As in pytorch.test.ts: token 0 begins each text alone, so that no two tokens have equal scores.
    const batchOf = (): Batch => ({
      rows: ROWS,
      length: LENGTH,
      inputs: Object.fromEntries(
        model.inputs.map(({ name: input, type }) => {
          const length = ROWS * (type.shape.length > 1 ? LENGTH : 1);
          if (type.dtype === "f32")
            return [input, Float32Array.from({ length }, () => (MEANS[input] ?? 0) + 0.3 * rng.normal())];
          if (input === "labels") return [input, Uint32Array.from({ length }, () => rng.below(4))];
          return type.dtype === "i32"
            ? [input, Int32Array.from({ length }, () => (rng.below(4) === 0 ? -1 : rng.below(13)))]
            : [input, Uint32Array.from({ length }, (_, at) => (at % LENGTH === 0 ? 0 : 1 + rng.below(12)))];
        }),
      ),
    });
    const trainer = await createTrainer({
      programs: programs!,
      device,
      weights: ({ path }) => weights.get(path)!,
      optimizer,
      weightDecay: 0.1,
      rows: ROWS,
      length: LENGTH,
      microBatches: 1,
      seed: 9,
    });
    const step = optimize(trainStep(graph, model.weights, { ...options, accumulated: false }).graph);
    let states: ReadonlyMap<string, Tensor> = new Map(
      model.weights.map(({ path, shape }) => [
        path,
        { dtype: "f32", shape, data: Float64Array.from(weights.get(path)!) },
      ]),
    );
    for (let n = 1; n <= STEPS; n++) {
      const batch = batchOf();
      const inputs = new Map(
        model.inputs.map(({ name: input, type }) => [
          input,
          { shape: type.shape.length > 1 ? [ROWS, LENGTH] : [ROWS], data: Float64Array.from(batch.inputs[input]!) },
        ]),
      );
      const rates = [RATE, 0.1, 1 - 0.9 ** n, 1 - 0.95 ** n];
      inputs.set(RATES, { shape: [4], data: Float64Array.from(rates) });
      const expected = evaluate(step, { inputs, weights: states, states });
      const found = await trainer.step([batch], { learningRate: RATE });
      // f32 sums of a few hundred terms, through two layers and back.
      const loss = expected.outputs.get("loss")!.data[0]!;
      expect(Math.abs(found.loss - loss), `loss ${loss}`).toBeLessThan(1e-4 * Math.max(1, Math.abs(loss)));
      expect(found.gradientNorm / expected.outputs.get(GRADIENT_NORM)!.data[0]!).toBeCloseTo(1, 3);
      states = expected.states;
    }
    trainer.dispose();
  },
);

it("contrast compares no parts of a step, and no sequence alone", async () => {
  const place = scratch();
  afterAll(place.remove);
  const device = await testDevice("default");
  const source = exampleSource("objectives/embed.mod");
  const compiled = (): unknown =>
    compileTraining(
      { source, file: "embed.mod", set: SET },
      { ...options, microBatches: 2 },
      { target: device.target },
    );
  expect(compiled).toThrow(/^accumulate is 2, but the loss has `contrast`/);
  const file = place.file("embed.mod", source);
  const data = place.file("pairs.jsonl", '{"query": "a", "positive": "b"}\n'.repeat(4));
  const run = { data, device, output: join(place.path, "run"), steps: 1, set: { ...SET, vocab: "256" }, context: 16 };
  await expect(train(file, { ...run, batch: 1 })).rejects.toThrow(/^batch is 1, but the loss has `contrast`/);
  await expect(train(file, { ...run, accumulate: 2 })).rejects.toThrow(/^accumulate is 2/);
  await expect(train(file, { ...run, pack: true })).rejects.toThrow(/^records are packed, but the loss has `contrast`/);
});
