// Compares Muon, Lion and Adafactor on the device with the reference, and continues them from their states.
import { isDeepStrictEqual } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { rolesOf } from "../../../src/compiler/autodiff/roles.js";
import {
  correctionsOf,
  OWN_RATES,
  RATES,
  trainStep,
  type Optimizer,
} from "../../../src/compiler/autodiff/train-step.js";
import type { Tensor } from "../../../src/compiler/ops/define.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import type { Device } from "../../../src/runtime/index.js";
import { compileTraining, type TrainingPrograms } from "../../../src/tools/train/programs.js";
import { createTrainer, type TrainerOptions } from "../../../src/tools/train/trainer.js";
import type { Batch, Trainer } from "../../../src/tools/train/types.js";
import { lowered } from "../../compiler/autodiff/models.js";
import { modelDevice } from "../../model-device.js";
import { random } from "../../random.js";

/** A Mixture-of-Depths layer, a stack of matrices, a mixture of experts and a head, with no two equal sizes. */
const SOURCE = `
import { Embedding, Layer, Linear, MoD, MoE, Residual, RMSNorm, SwiGLU } from "std"

model Small(dim: int = 12) {
  table:  Embedding(13, dim)
  first:  MoD(Layer(dim, 2, hidden: 20), dim, 50%)
  second: MoE([for e in 0..3: SwiGLU(dim, 10)], dim, 2)
  weight stack: f32[2, 6, dim] = normal(0.2)
  norm:   RMSNorm(dim)
  head:   Linear(dim, 13)

  forward(tokens: u32[B, T <= 16]) -> f32[B, T, 13] {
    x = table(tokens)
    x = x + first(x)
    x = x + second(x)
    h = rearrange(x, "b t (h d) -> b h t d", h: 2) @ stack
    x = x + sum(h, axis: 1)
    head(norm(x))
  }
  objective(tokens: u32[B, T <= 16], targets: u32[B, T]) { loss next = cross_entropy(forward(tokens), targets) }
}`;
const [ROWS, LENGTH, RATE] = [2, 14, 0.003];
const OPTIMIZERS: readonly Optimizer[] = [
  { kind: "muon", momentum: 0.95, beta1: 0.9, beta2: 0.95, eps: 1e-8 },
  { kind: "lion", beta1: 0.9, beta2: 0.99 },
  { kind: "adafactor" },
];
const OWN = { router: 0.002, predictor: 0.01, muon: 0.02 };
const SETTINGS = { learningRate: RATE, ownRates: OWN };

function batchOf(seed: number): Batch {
  const rng = random(seed);
  const words = (): Uint32Array => Uint32Array.from({ length: ROWS * LENGTH }, () => rng.below(13));
  return { inputs: { tokens: words(), targets: words() }, rows: ROWS, length: LENGTH };
}

const { model, graph } = lowered(SOURCE);
const started = new Map(
  model.weights.map(({ path, shape }, i) => {
    const rng = random(i + 3);
    const value = shape.length < 2 ? () => 1 + 0.1 * rng.normal() : () => rng.normal() / Math.sqrt(shape.at(-1)!);
    return [path, Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value)];
  }),
);

/** The weights after steps of the 64-bit reference. */
function reference(optimizer: Optimizer, batches: readonly Batch[]): ReadonlyMap<string, Tensor> {
  const roles = rolesOf(model);
  const step = optimize(trainStep(graph, model.weights, { optimizer, clip: 1, accumulated: false, roles }).graph);
  const weights = new Map(
    model.weights.map(({ path, shape }) => [path, { shape, data: Float64Array.from(started.get(path)!) }]),
  );
  let states: ReadonlyMap<string, Tensor> = new Map();
  batches.forEach(({ inputs }, i) => {
    const given = Object.entries(inputs).map(
      ([name, data]) => [name, { shape: [ROWS, LENGTH] as readonly number[], data: Float64Array.from(data) }] as const,
    );
    const rates = Float64Array.of(RATE, 0.1, ...correctionsOf(optimizer, i + 1));
    const own = Float64Array.of(OWN.router, OWN.predictor, OWN.muon);
    ({ states } = evaluate(step, {
      inputs: new Map([...given, [RATES, { shape: [4], data: rates }], [OWN_RATES, { shape: [3], data: own }]]),
      weights,
      states,
    }));
  });
  return states;
}

describe.each(OPTIMIZERS)("$kind on the device", { tags: "long", timeout: 120_000 }, (optimizer) => {
  let device: Device;
  let programs: TrainingPrograms;
  const compile = (microBatches: number): TrainingPrograms =>
    compileTraining(
      { source: SOURCE, file: "small.mod" },
      { optimizer, clip: 1, microBatches, ownRates: true },
      { target: device.target },
    ).programs!;
  beforeAll(async () => {
    device = await modelDevice();
    programs = compile(1);
  });
  const trainer = (more: Partial<TrainerOptions> = {}): Promise<Trainer> =>
    createTrainer({
      programs,
      device,
      weights: ({ path }) => started.get(path)!,
      optimizer,
      weightDecay: 0.1,
      rows: ROWS,
      length: LENGTH,
      microBatches: 1,
      seed: 9,
      rules: [],
      ...more,
    });

  it("steps as the reference does", async () => {
    const one = await trainer();
    const batches = [1, 2, 3, 4].map(batchOf);
    for (const batch of batches) await one.step([batch], SETTINGS);
    const [state, wanted] = [await one.state(), reference(optimizer, batches)];
    for (const { path } of programs.model.weights) {
      const [found, exact] = [state.get(path)!.data, wanted.get(path)!.data];
      const mean = (of: (v: number, i: number) => number): number =>
        exact.reduce((sum, v, i) => sum + Math.abs(of(v, i)), 0) / exact.length;
      const moved = mean((v, i) => v - started.get(path)![i]!);
      expect(moved, path).toBeGreaterThan(1e-5);
      expect(mean((v, i) => v - found[i]!) / moved, path).toBeLessThan(0.005);
    }
    one.dispose();
  });

  it("goes on from its state to the same bits", async () => {
    const [one, other] = [await trainer(), await trainer({ weights: undefined })];
    for (const seed of [1, 2]) await one.step([batchOf(seed)], SETTINGS);
    await other.restore(await one.state());
    for (const seed of [3, 4]) {
      const [a, b] = [await one.step([batchOf(seed)], SETTINGS), await other.step([batchOf(seed)], SETTINGS)];
      expect([b.step, b.loss, b.gradientNorm]).toEqual([a.step, a.loss, a.gradientNorm]);
    }
    expect(isDeepStrictEqual(await other.state(), await one.state())).toBe(true);
    one.dispose();
    other.dispose();
  });

  it("changes nothing in a step whose loss is not finite", async () => {
    const one = await trainer();
    await one.step([batchOf(1)], SETTINGS);
    const state = new Map(await one.state());
    const norm = state.get("norm.weight")!;
    await one.restore(new Map([...state, ["norm.weight", { ...norm, data: norm.data.map(() => Infinity) }]]));
    const before = await one.state();
    expect((await one.step([batchOf(2)], SETTINGS)).loss).not.toBeLessThan(Infinity);
    const after = await one.state();
    for (const [name, { data }] of before) if (name !== "step.count") expect(after.get(name)!.data).toEqual(data);
    one.dispose();
  });

  it("takes two micro-batches of one text as it takes the text alone", async () => {
    const [one, two] = [await trainer(), await trainer({ programs: compile(2), microBatches: 2 })];
    for (const seed of [1, 2]) {
      const [a, b] = [
        await one.step([batchOf(seed)], SETTINGS),
        await two.step([batchOf(seed), batchOf(seed)], SETTINGS),
      ];
      expect(b.loss).toBeCloseTo(a.loss, 4);
      expect(b.gradientNorm / a.gradientNorm).toBeCloseTo(1, 3);
    }
    one.dispose();
    two.dispose();
  });
});
