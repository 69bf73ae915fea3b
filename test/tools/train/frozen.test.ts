// Weights that do not learn, in blocks below f32 ones that do: a step's gradients are those of the dequantized weights,
// by finite differences; the device holds no more than the blocks; validation reads the same values as the step.
import { beforeAll, describe, expect, it } from "vitest";
import type { Program, ProgramWeight } from "../../../src/runtime/program/program.js";
import { PORTABLE } from "../../../src/runtime/program/target.js";
import { initialValues, type Device } from "../../../src/runtime/index.js";
import { asStored } from "../../../src/runtime/weights/stored.js";
import { bytesOf } from "../../../src/tools/train/memory.js";
import { weightsMatching } from "../../../src/tools/train/patterns.js";
import { compileTraining, extentsOf, type TrainingPrograms } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch, Trainer } from "../../../src/tools/train/types.js";
import { choicesOf, difference, type Given, held } from "../../compiler/autodiff/differences.js";
import { exampleSource, lowered } from "../../compiler/autodiff/models.js";
import { sparingDevice } from "../../device.js";
import { random } from "../../random.js";
import { byTurns, soaking } from "../../soak.js";

const [ROWS, LENGTH, VOCAB] = [2, 24, 13];
const sgd = { kind: "sgd", momentum: 0, nesterov: false } as const;

/** Products of both orders, columns that fill no panel, and a table that a product reads too. */
const SHAPES = `import { LoRA } from "std"
model Shapes(vocab: int = 13) {
  weight table: f32[vocab, 32] = normal(1)
  weight down: f32[32, 36] = normal(0.1)
  weight up: f32[36, 96] = normal(0.1)
  weight across: f32[32, 96] = normal(0.1)
  map: LoRA(32, 32, rank: 4)
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, vocab] {
    x = silu(map(table[tokens]) @ down) @ up
    (x @ transpose(across)) @ transpose(table)
  }
  objective(tokens: u32[B, T <= 64], targets: u32[B, T]) { loss l = cross_entropy(forward(tokens), targets) }
}`;
const MODELS = [
  { name: "shapes", source: SHAPES, set: {}, only: "lora", blocks: /^(table|down|across|map\.weight)$/ },
  {
    name: "lora.mod",
    source: exampleSource("lora.mod"),
    set: { dim: "32", heads: "2", depth: "2", vocab: "13", context: "32", capacity: "50%", rank: "4" },
    only: "lora",
    blocks: /^(?!.*(router|guess|norm)).*(weight|table)$/,
  },
  {
    name: "moe.mod",
    source: exampleSource("moe.mod"),
    set: { dim: "32", heads: "2", depth: "1", vocab: "13", context: "32", experts: "4", hidden: "32" },
    only: "norm,table",
    blocks: /attn\.[qkvo]\.weight$/,
  },
];
type Case = (typeof MODELS)[number];

/** The device's own kernels, kernels for GPUs, and kernels that need no feature. */
const CLASSES = ["own", "discrete", "portable"] as const;
type Class = (typeof CLASSES)[number];

function compiled(
  { source, set, only }: Case,
  device: Device,
  weights: "f32" | "q8" | "q4",
  { microBatches = 1, as = "own" }: { readonly microBatches?: number; readonly as?: Class } = {},
) {
  const options = { optimizer: sgd, clip: null, microBatches, trained: weightsMatching(only) };
  const { programs } = compileTraining(
    { source, file: "model.mod", set },
    { ...options, precision: { weights } },
    { target: as === "own" ? device.target : { ...device.target, device: as, subgroups: null } },
  );
  return programs!;
}

/** Adapters begin with zeros, below which no gradient flows. */
const starting = (weight: ProgramWeight): Float32Array => {
  const init = weight.init.kind === "zeros" ? ({ kind: "normal", std: 0.1 } as const) : weight.init;
  return initialValues({ ...weight, init }, 3) as Float32Array;
};

/** The values as the device reads them. */
function storedBy({ step }: TrainingPrograms): (weight: ProgramWeight) => Float32Array {
  const slots = new Map(step.weights.map((w) => [w.path, w]));
  return (weight) => asStored(slots.get(weight.path)!, starting(weight)) as Float32Array;
}

function batchOf(seed: number): Batch {
  const rng = random(seed);
  const words = (): Uint32Array => Uint32Array.from({ length: ROWS * LENGTH }, () => rng.below(VOCAB));
  return { inputs: { tokens: words(), targets: words() }, rows: ROWS, length: LENGTH };
}

const trainerOf = (
  device: Device,
  programs: TrainingPrograms,
  weights: (weight: ProgramWeight) => Float32Array = starting,
  microBatches = 1,
): Promise<Trainer> =>
  createTrainer({
    programs,
    device,
    weights,
    optimizer: sgd,
    weightDecay: 0,
    rows: ROWS,
    length: LENGTH,
    microBatches,
    seed: 9,
  });

const formsOf = ({ weights }: Program, path: string): readonly string[] => [
  ...new Set(weights.find((w) => w.path === path)!.slots.map((s) => s.form)),
];

describe.each(MODELS)("$name", { timeout: 60_000 }, (model) => {
  let device: Device;
  beforeAll(async () => void (device = await sparingDevice()));

  const types = byTurns(["q8", "q4"] as const, 2, MODELS.indexOf(model));

  it.each(types)(
    "stores in %s what does not learn and kernels can decode, in every program",
    { tags: "long" },
    (weights) => {
      const programs = compiled(model, device, weights, { microBatches: 2 });
      const trained = weightsMatching(model.only);
      for (const program of [programs.step, programs.accumulate!, programs.evaluate["top-k"], programs.evaluate.causal])
        for (const { path, slots } of program.weights)
          if (slots.length > 0)
            expect([path, formsOf(program, path)]).toEqual([path, [model.blocks.test(path) ? weights : "word"]]);
      const states = programs.step.states.map((s) => s.name);
      for (const { path } of programs.model.weights) if (trained({ path })) expect(states).toContain(path);
      for (const path of programs.stored) expect(states).not.toContain(path);
    },
  );

  // Kernels for GPUs compile slowly here: in the short run they are tried on the smallest model.
  const classes = soaking ? CLASSES : (["own"] as const);
  const ways = types.flatMap((weights) => classes.map((as) => [weights, as] as const));
  it.each(ways)(
    "a step in %s by %s kernels takes the gradients of the dequantized weights",
    { tags: "long" },
    async (weights, as) => {
      const programs = compiled(model, device, weights, { as });
      const values = storedBy(programs);
      const trainer = await trainerOf(device, programs);
      const batch = batchOf(1);
      const before = await trainer.state();
      const { loss } = await trainer.step([batch], { learningRate: 1 });
      const after = await trainer.state();
      const { graph, model: own } = lowered(model.source, { set: model.set });
      const asValues = (data: ArrayLike<number>, shape: readonly number[]) => ({
        shape,
        data: Float64Array.from(data),
      });
      const given: Given = {
        inputs: new Map(Object.entries(batch.inputs).map(([name, data]) => [name, asValues(data, [ROWS, LENGTH])])),
        weights: new Map(
          own.weights.map((w) => [
            w.path,
            asValues(values(programs.step.weights.find((p) => p.path === w.path)!), w.shape),
          ]),
        ),
      };
      const forced = choicesOf(graph, given);
      const fixed = held(graph, given, forced);
      const rng = random(4);
      let compared = 0;
      for (const path of soaking ? programs.trained : programs.trained.slice(-6)) {
        const change = Float64Array.from(after.get(path)!.data, (x, i) => before.get(path)!.data[i]! - x);
        const direction = change.map(() => rng.normal());
        const found = difference(fixed.graph, fixed.given, forced, { kind: "weight", name: path }, direction, 1e-4);
        if (found === null) continue;
        const along = change.reduce((sum, g, i) => sum + g * direction[i]!, 0);
        const size = Math.sqrt(change.reduce((sum, g) => sum + g * g, 0));
        expect(Math.abs(along - found), path).toBeLessThan(1e-3 * Math.max(size, 1e-2));
        compared++;
      }
      expect(compared).toBeGreaterThan(1);
      const whole = await trainerOf(device, compiled(model, device, "f32", { as }), values);
      expect((await whole.step([batch], { learningRate: 1 })).loss).toBeCloseTo(loss, 4);
      const rounded = await trainerOf(device, compiled(model, device, "f32", { as }));
      expect(Math.abs((await rounded.step([batch], { learningRate: 1 })).loss - loss)).toBeGreaterThan(1e-5);
      for (const one of [trainer, whole, rounded]) one.dispose();
    },
  );

  it("validation and micro-batches read the same values, and memory is spared", { tags: "long" }, async () => {
    const programs = compiled(model, device, types[0]!, { microBatches: 2 });
    const trainer = await trainerOf(device, programs, starting, 2);
    const [one, other] = [batchOf(1), batchOf(2)];
    async function* batches(): AsyncIterable<Batch> {
      yield one;
    }
    const { loss } = await trainer.evaluate(batches(), "top-k");
    const whole = await trainerOf(device, compiled(model, device, "f32"), storedBy(programs));
    expect(loss).toBeCloseTo((await whole.evaluate(batches(), "top-k")).loss, 4);
    const step = await trainer.step([one, other], { learningRate: 0.1 });
    expect(Number.isFinite(step.loss)).toBe(true);
    const extents = extentsOf(programs.model, ROWS, LENGTH);
    const saved = bytesOf(compiled(model, device, "f32", { microBatches: 2 }), extents) - bytesOf(programs, extents);
    const stored = programs.model.weights.filter((w) => programs.stored.has(w.path));
    const bytes = stored.reduce((n, w) => n + 4 * w.shape.reduce((x, y) => x * y, 1), 0);
    // Panels of f32 states, which every program makes for itself, are spared too.
    expect(saved / bytes).toBeGreaterThan(0.6);
    trainer.dispose();
    whole.dispose();
  });
});

it("weights that learn are f32: a type for others needs some", () => {
  const all = { optimizer: sgd, clip: null, microBatches: 1, precision: { weights: "q4" } } as const;
  for (const options of [all, { ...all, trained: () => true }])
    expect(() => compileTraining({ source: SHAPES, file: "shapes.mod" }, options, { target: PORTABLE })).toThrow(
      "precision is q4, but all weights are trained, and trained weights are f32",
    );
});
