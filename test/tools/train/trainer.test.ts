// A trainer on the device: its steps are those of the reference, micro-batches add up, and its state is all there is.
import { isDeepStrictEqual } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import {
  GRADIENT_NORM,
  momentState,
  RATES,
  type StepOptions,
  trainStep,
} from "../../../src/compiler/autodiff/train-step.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import type { Device } from "../../../src/runtime/index.js";
import { compileTraining, type TrainingPrograms } from "../../../src/tools/train/programs.js";
import { createTrainer, type TrainerOptions } from "../../../src/tools/train/trainer.js";
import type { Batch, Trainer } from "../../../src/tools/train/types.js";
import { exampleSource, lowered } from "../../compiler/autodiff/models.js";
import { testDevice } from "../../device.js";
import { modelDevice } from "../../model-device.js";
import { soaking } from "../../soak.js";
import { random } from "../../random.js";
import { expectClose } from "../../close.js";

const SMALL = { dim: "32", heads: "2", depth: "2", vocab: "13", context: "32", capacity: "50%" };
const [ROWS, LENGTH] = [2, 24];
const adamw = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
const options: Pick<StepOptions, "optimizer" | "clip"> = { optimizer: adamw, clip: 1 };
const source = exampleSource("moby.mod");

/** Programs by what they were compiled with. */
const known = new Map<string, TrainingPrograms>();

function compiled(device: Device, microBatches = 1, extra: Pick<StepOptions, "optimizer"> = options): TrainingPrograms {
  const key = JSON.stringify([device.target, microBatches, extra]);
  const before = known.get(key);
  if (before) return before;
  const { programs } = compileTraining(
    { source, file: "moby.mod", set: SMALL },
    { ...options, ...extra, microBatches },
    { target: device.target },
  );
  expect(programs).not.toBeNull();
  known.set(key, programs!);
  return programs!;
}

function weightsOf(programs: TrainingPrograms, seed = 5): ReadonlyMap<string, Float32Array> {
  const rng = random(seed);
  return new Map(
    programs.model.weights.map(({ path, shape }) => {
      const scale = 1 / Math.sqrt(shape.at(-1) ?? 1);
      return [
        path,
        Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
          shape.length < 2 ? 1 + 0.1 * rng.normal() : scale * rng.normal(),
        ),
      ];
    }),
  );
}

function batchOf(seed: number, rows = ROWS): Batch {
  const rng = random(seed);
  const words = (): Uint32Array => Uint32Array.from({ length: rows * LENGTH }, () => rng.below(13));
  return { inputs: { tokens: words(), targets: words() }, rows, length: LENGTH };
}

function trainerOf(device: Device, programs: TrainingPrograms, extra: Partial<TrainerOptions> = {}): Promise<Trainer> {
  const weights = weightsOf(programs);
  return createTrainer({
    programs,
    device,
    weights: (w) => weights.get(w.path)!,
    optimizer: adamw,
    weightDecay: 0.1,
    rows: ROWS,
    length: LENGTH,
    microBatches: 1,
    seed: 9,
    ...extra,
  });
}

/** The same steps in 64 bits. */
function referenceSteps(
  programs: TrainingPrograms,
  batches: readonly Batch[],
  rate: number,
): { readonly losses: number[]; readonly norms: number[]; readonly states: ReadonlyMap<string, Tensor> } {
  const { model, graph } = lowered(source, { set: SMALL });
  const step = optimize(trainStep(graph, model.weights, { ...options, accumulated: false }).graph);
  let states: ReadonlyMap<string, Tensor> = new Map(
    [...weightsOf(programs)].map(([path, data]) => [
      path,
      { dtype: "f32", shape: model.weights.find((w) => w.path === path)!.shape, data: Float64Array.from(data) },
    ]),
  );
  const [losses, norms]: [number[], number[]] = [[], []];
  batches.forEach((batch, i) => {
    const given = Object.entries(batch.inputs).map(
      ([name, data]): [string, { shape: number[]; data: Float64Array }] => [
        name,
        { shape: [batch.rows, batch.length], data: Float64Array.from(data) },
      ],
    );
    const rates = Float64Array.of(rate, 0.1, 1 - 0.9 ** (i + 1), 1 - 0.95 ** (i + 1));
    const weights = new Map([...states].filter(([name]) => model.weights.some((w) => w.path === name)));
    const result = evaluate(step, {
      inputs: new Map([...given, [RATES, { shape: [4], data: rates }]]),
      weights,
      states,
    });
    losses.push(result.outputs.get("loss")!.data[0]!);
    norms.push(result.outputs.get(GRADIENT_NORM)!.data[0]!);
    states = result.states;
  });
  return { losses, norms, states };
}

// SwiftShader compiles the kernels of a step for seconds: the soak steps on it too.
describe.each(soaking ? (["default", "swiftshader"] as const) : (["default"] as const))(
  "a trainer on the %s device",
  (which) => {
    let device: Device;
    beforeAll(async () => {
      device = await testDevice(which);
    });

    it("steps as the reference does", { tags: "long" }, async () => {
      const programs = compiled(device);
      const trainer = await trainerOf(device, programs);
      const batches = [1, 2, 3, 4].map((seed) => batchOf(seed));
      const wanted = referenceSteps(programs, batches, 0.003);
      const steps = await Promise.all(batches.map((b) => trainer.step([b], { learningRate: 0.003 })));
      steps.forEach((m, i) => {
        expect(m.step).toBe(i + 1);
        expect(m.loss).toBeCloseTo(wanted.losses[i]!, 4);
        expect(m.gradientNorm / wanted.norms[i]!).toBeCloseTo(1, 3);
        expect(Object.keys(m.losses).sort()).toEqual(["layers.1.predictor", "next_token"]);
        expect(m.agreement["layers.1"]).toBeGreaterThanOrEqual(0);
        expect(m.computedShare).toBe(0.5);
        expect(m.tokens).toBe(ROWS * LENGTH);
        expect(m.flops).toBeGreaterThan(6 * ROWS * LENGTH * 4 * 32 * 32);
      });
      // AdamW divides by the size of a gradient: if the gradient is as small as rounding errors, the step's sign is
      // arbitrary. So the mean difference is held to a hundredth of a step.
      const state = await trainer.state();
      for (const { path } of programs.model.weights) {
        const [found, exact] = [state.get(path)!.data, wanted.states.get(path)!.data];
        const mean = exact.reduce((sum, v, i) => sum + Math.abs(v - found[i]!), 0) / exact.length;
        expect(mean, path).toBeLessThan(0.01 * 0.003);
      }
      trainer.dispose();
    });

    it("goes on from its state to the same bits", async () => {
      const programs = compiled(device);
      const [one, other] = [
        await trainerOf(device, programs),
        await trainerOf(device, programs, { seed: 9, weights: undefined }),
      ];
      const settings = { learningRate: 0.01 };
      for (const seed of [1, 2]) await one.step([batchOf(seed)], settings);
      await other.restore(await one.state());
      for (const seed of [3, 4]) {
        const [a, b] = [await one.step([batchOf(seed)], settings), await other.step([batchOf(seed)], settings)];
        expect([b.step, b.loss, b.gradientNorm]).toEqual([a.step, a.loss, a.gradientNorm]);
      }
      expect(isDeepStrictEqual(await other.state(), await one.state())).toBe(true);
      one.dispose();
      other.dispose();
    });
  },
);

describe("a trainer", () => {
  let device: Device;
  beforeAll(async () => {
    device = await modelDevice();
  });

  it("takes the step of one batch in micro-batches", { tags: "long" }, async () => {
    const sgd = { kind: "sgd", momentum: 0.9, nesterov: false } as const;
    const [whole, parts] = [compiled(device, 1, { optimizer: sgd }), compiled(device, 2, { optimizer: sgd })];
    const big = batchOf(8, 4); // at none of its choices two scores are so close that a rounding decides
    const half = (from: number): Batch => ({
      inputs: Object.fromEntries(
        Object.entries(big.inputs).map(([n, d]) => [n, d.slice(from * LENGTH, (from + 2) * LENGTH)]),
      ),
      rows: 2,
      length: LENGTH,
    });
    const one = await trainerOf(device, whole, { optimizer: sgd, rows: 4 });
    const two = await trainerOf(device, parts, { optimizer: sgd, microBatches: 2 });
    for (let i = 0; i < 2; i++) {
      const a = await one.step([big], { learningRate: 0.1 });
      const b = await two.step([half(0), half(2)], { learningRate: 0.1 });
      expect(b.loss).toBeCloseTo(a.loss, 5);
      expect(b.gradientNorm / a.gradientNorm).toBeCloseTo(1, 4);
      expect(b.tokens).toBe(a.tokens);
    }
    const [a, b] = [await one.state(), await two.state()];
    for (const { path } of whole.model.weights) {
      const values = Array.from(a.get(path)!.data);
      const largest = values.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
      expectClose(b.get(path)!.data, values, () => 1e-5 * largest, path);
    }
    await expect(two.step([half(0)], { learningRate: 0.1 })).rejects.toThrow(/2 micro-batches, not 1/);
    one.dispose();
    two.dispose();
  });

  it("learns what it sees again and again, under both rules", { tags: "long" }, async () => {
    const trainer = await trainerOf(device, compiled(device));
    const batch = batchOf(3);
    const only = async function* (): AsyncGenerator<Batch> {
      yield batch;
    };
    const before = await trainer.evaluate(only(), "top-k");
    for (let i = 0; i < 60; i++) await trainer.step([batch], { learningRate: 0.01 });
    const [after, causal] = [await trainer.evaluate(only(), "top-k"), await trainer.evaluate(only(), "causal")];
    expect(before.loss).toBeGreaterThan(2);
    expect(after.loss).toBeLessThan(before.loss / 3);
    expect(after.tokens).toBe(ROWS * LENGTH);
    expect(after.shares["layers.1.chosen"]).toBe(0.5);
    expect(after.routes!.map((r) => r.mask.reduce((a, b) => a + b, 0))).toEqual([ROWS * 12]);
    expect(Number.isFinite(causal.loss)).toBe(true);
    trainer.dispose();
  });

  it("says which value went wrong first, and keeps what it had", { tags: "long" }, async () => {
    const programs = compiled(device);
    const trainer = await trainerOf(device, programs);
    await trainer.step([batchOf(1)], { learningRate: 0.01 });
    const state = new Map(await trainer.state());
    const broken = state.get("layers.1.inner.mlp.down.weight")!;
    const data = Float32Array.from(broken.data);
    data[5] = Infinity;
    await trainer.restore(new Map([...state, ["layers.1.inner.mlp.down.weight", { ...broken, data }]]));
    const failed = await trainer.step([batchOf(2)], { learningRate: 0.01 });
    expect(Number.isFinite(failed.loss)).toBe(false);
    expect(await trainer.whyNotFinite(failed.step, [batchOf(2)], { learningRate: 0.01 })).toBe(
      "layers.1.inner.mlp.down.weight holds a value that is not finite",
    );
    expect((await trainer.state()).get(momentState("m", "norm.weight"))).toEqual(
      state.get(momentState("m", "norm.weight")),
    );
    trainer.dispose();
  });

  it("evaluates by no rule that it was made without, and steps all the same", async () => {
    const programs = compiled(device);
    const [all, none] = [await trainerOf(device, programs), await trainerOf(device, programs, { rules: [] })];
    const batch = batchOf(3);
    async function* once(): AsyncIterable<Batch> {
      yield batch;
    }
    await expect(none.evaluate(once(), "causal")).rejects.toThrow("without the rule causal");
    const steps = [await all.step([batch], { learningRate: 1e-3 }), await none.step([batch], { learningRate: 1e-3 })];
    expect(steps[1]!.loss).toBe(steps[0]!.loss);
    for (const trainer of [all, none]) trainer.dispose();
  });

  it("refuses a state that lacks something", async () => {
    const trainer = await trainerOf(device, compiled(device));
    const state = new Map(await trainer.state());
    state.delete("norm.weight");
    await expect(trainer.restore(state)).rejects.toThrow(/lacks norm\.weight/);
    state.delete("step.count");
    await expect(trainer.restore(state)).rejects.toThrow(/called step\.count/);
    trainer.dispose();
  });
});
