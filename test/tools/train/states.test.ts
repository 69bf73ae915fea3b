// States in training, on the device: a bias that balances loads outside the gradient, held against an account of it in
// plain loops; the same in parts, after a pause, and in checkpoints.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { initialValues, load, type Device } from "../../../src/runtime/index.js";
import { train, TrainError, type TrainEvent } from "../../../src/tools/train/index.js";
import { compileTraining, type TrainingPrograms } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch, Trainer, TrainingState } from "../../../src/tools/train/types.js";
import { sparingDevice } from "../../device.js";
import { random } from "../../random.js";
import { scratch } from "./folder.js";

const folder = scratch();
let device: Device;
beforeAll(async () => void (device = await sparingDevice()));
afterAll(() => {
  device.destroy();
  folder.remove();
});

const [VOCAB, DIM, N, RATE] = [13, 6, 5, 0.125];
/** Sigmoid gates whose tokens choose by a lifted score: each lift follows the load of its gate. */
const source = `import { Embedding, Linear } from "std"

block Gates(n: int, dim: int, rate: float) {
  logits: Linear(dim, n, bias: false)
  state bias: f32[n]
  state level: f32[n] = ones
  state steps: f32[]

  forward(x: f32[B, T, dim]) -> f32[B, T, n] {
    l = logits(x)
    on = l + bias > 0.0
    load = sum(f32(on), axis: [0, 1])
    update bias = bias + rate * (f32(load < mean(load)) - f32(load > mean(load)))
    update level = 0.5 * level + 0.5 * load
    update steps = steps + 1.0
    sigmoid(l) * f32(on)
  }
}

model M(vocab: int = ${VOCAB}, dim: int = ${DIM}, n: int = ${N}) {
  embed: Embedding(vocab, dim)
  gates: Gates(n, dim, ${RATE})
  out:   Linear(n, dim)
  names { "gates.bias" = "gate.e_score_correction_bias" }

  forward(tokens: u32[B, T <= 32]) -> f32[B, T, vocab] {
    x = embed(tokens)
    (x + out(gates(x))) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= 32], targets: u32[B, T]) { loss fit = cross_entropy(forward(tokens), targets) }
}
`;

const [SEQUENCES, LENGTH, STEPS] = [8, 12, 6];
const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
const rng = random(11);
const words = (): Uint32Array => Uint32Array.from({ length: SEQUENCES * LENGTH }, () => rng.below(VOCAB));
const steps = Array.from({ length: STEPS }, () => ({ tokens: words(), targets: words() }));

/** The sequences of step n in equal parts. */
function partsOf(n: number, micro: number): readonly Batch[] {
  const rows = SEQUENCES / micro;
  return Array.from({ length: micro }, (_, i) => {
    const part = (data: Uint32Array): Uint32Array => data.slice(i * rows * LENGTH, (i + 1) * rows * LENGTH);
    return { inputs: { tokens: part(steps[n]!.tokens), targets: part(steps[n]!.targets) }, rows, length: LENGTH };
  });
}

const compiled = new Map<string, TrainingPrograms>();
async function trainerOf(micro = 1, text = source): Promise<Trainer> {
  const key = `${micro} ${text}`;
  const programs =
    compiled.get(key) ??
    compileTraining(
      { source: text, file: "gates.mod" },
      { optimizer, clip: 1, microBatches: micro },
      { target: device.target },
    ).programs!;
  compiled.set(key, programs);
  return createTrainer({
    programs,
    device,
    optimizer,
    weightDecay: 0.1,
    rows: SEQUENCES / micro,
    length: LENGTH,
    microBatches: micro,
    seed: 4,
  });
}

const numbers = (state: TrainingState, path: string): number[] => Array.from(state.get(path)!.data);
const bits = (state: TrainingState, path: string): readonly number[] => {
  const { data } = state.get(path)!;
  return Array.from(new Uint32Array(data.buffer, data.byteOffset, data.length));
};
const STATES = ["gates.bias", "gates.level", "gates.steps"];

/** Tokens that choose each gate, in 64 bits, of these weights and this bias. No score may lie so near 0 that f32 errs. */
function loadOf(weights: TrainingState, bias: readonly number[], tokens: Uint32Array): number[] {
  const [table, matrix] = [numbers(weights, "embed.table"), numbers(weights, "gates.logits.weight")];
  const load = Array.from({ length: N }, () => 0);
  for (const token of tokens)
    for (let e = 0; e < N; e++) {
      let score = bias[e]!;
      for (let d = 0; d < DIM; d++) score += table[token * DIM + d]! * matrix[e * DIM + d]!;
      expect(Math.abs(score)).toBeGreaterThan(1e-6);
      if (score > 0) load[e]!++;
    }
  return load;
}

/** Each lift after a step: a gate with less than the mean load rises, one with more sinks. */
function lifted(bias: readonly number[], load: readonly number[]): number[] {
  const mean = load.reduce((a, b) => a + b, 0) / N;
  return bias.map((b, e) => b + RATE * Math.sign(mean - load[e]!));
}

describe("states of a trainer", () => {
  it("move as loss-free balancing says, by the weights that the step began with", async () => {
    const trainer = await trainerOf();
    const mistakes = { afterOptimiser: 0, byParts: 0, byNewBias: 0 };
    let level = Array.from({ length: N }, () => 1);
    for (let n = 0; n < STEPS; n++) {
      const before = await trainer.state();
      await trainer.step(partsOf(n, 1), { learningRate: 0.3 });
      const after = await trainer.state();
      const { tokens } = steps[n]!;
      const bias = numbers(before, "gates.bias");
      const load = loadOf(before, bias, tokens);
      const wanted = lifted(bias, load);
      expect(numbers(after, "gates.bias"), `the bias after step ${n}`).toEqual(wanted);
      level = level.map((v, e) => 0.5 * v + 0.5 * load[e]!);
      expect(numbers(after, "gates.level")).toEqual(level);
      expect(numbers(after, "gates.steps")).toEqual([n + 1]);
      // Planted mistakes, of which each must show: the account would not pass for another program.
      const differs = (other: readonly number[]): number => Number(other.some((v, e) => v !== wanted[e]));
      mistakes.afterOptimiser += differs(lifted(bias, loadOf(after, bias, tokens)));
      mistakes.byNewBias += differs(lifted(bias, loadOf(before, wanted, tokens)));
      const parts = partsOf(n, 4).map(({ inputs }) => loadOf(before, bias, inputs["tokens"] as Uint32Array));
      mistakes.byParts += differs(parts.reduce((b, part) => lifted(b, part), bias));
    }
    expect(Math.min(...Object.values(mistakes)), JSON.stringify(mistakes)).toBeGreaterThan(0);
    trainer.dispose();
  });

  it("are the same bits in 1, 2 and 4 parts, where loads are whole numbers", async () => {
    const found = new Map<number, (readonly number[])[]>();
    for (const micro of [1, 2, 4]) {
      const trainer = await trainerOf(micro);
      const all: (readonly number[])[] = [];
      for (let n = 0; n < STEPS; n++) {
        await trainer.step(partsOf(n, micro), { learningRate: 0.01 });
        const state = await trainer.state();
        all.push(STATES.flatMap((path) => bits(state, path)));
      }
      found.set(micro, all);
      trainer.dispose();
    }
    expect(found.get(2)).toEqual(found.get(1));
    expect(found.get(4)).toEqual(found.get(1));
  });

  it("are all that a trainer goes on from, with weights and moments", async () => {
    for (const micro of [1, 2]) {
      const first = await trainerOf(micro);
      for (let n = 0; n < 3; n++) await first.step(partsOf(n, micro), { learningRate: 0.1 });
      const kept = await first.state();
      const second = await trainerOf(micro);
      await second.restore(kept);
      for (const trainer of [first, second])
        for (let n = 3; n < STEPS; n++) await trainer.step(partsOf(n, micro), { learningRate: 0.1 });
      const [a, b] = [await first.state(), await second.state()];
      expect([...b.keys()]).toEqual([...a.keys()]);
      for (const name of a.keys()) expect(bits(b, name), name).toEqual(bits(a, name));
      expect(
        [...a.keys()].filter((name) => /^(?:optimizer|gradient)\..*gates\.(?:bias|level|steps)/.test(name)),
      ).toEqual([]);
      first.dispose();
      second.dispose();
    }
  });

  it("stay as they are in a step that is thrown away", async () => {
    for (const micro of [1, 2]) {
      const trainer = await trainerOf(micro);
      await trainer.step(partsOf(0, micro), { learningRate: 0.1 });
      const kept = await trainer.state();
      const broken = new Map(kept);
      const bias = kept.get("out.bias")!;
      broken.set("out.bias", { ...bias, data: Float32Array.from(bias.data).fill(Infinity) });
      await trainer.restore(broken);
      const { loss } = await trainer.step(partsOf(1, micro), { learningRate: 0.1 });
      expect(loss).toBeNaN();
      const after = await trainer.state();
      for (const path of STATES) expect(bits(after, path), path).toEqual(bits(kept, path));
      trainer.dispose();
    }
  });

  it("do not change in evaluation, which reads them", async () => {
    const trainer = await trainerOf();
    await trainer.step(partsOf(0, 1), { learningRate: 0.1 });
    const kept = await trainer.state();
    const lossWith = async (lift: number): Promise<number> => {
      const state = new Map(kept);
      state.set("gates.bias", { ...kept.get("gates.bias")!, data: new Float32Array(N).fill(lift) });
      await trainer.restore(state);
      const batches = async function* (): AsyncIterable<Batch> {
        yield* partsOf(1, 1);
      };
      const { loss } = await trainer.evaluate(batches(), "top-k");
      const after = await trainer.state();
      for (const path of STATES) expect(bits(after, path), path).toEqual(bits(state, path));
      return loss;
    };
    expect(await lossWith(100)).not.toBe(await lossWith(-100));
    trainer.dispose();
  });
});

describe("the bias of the library's mixture", () => {
  const mixture = `import { Embedding, GeluMLP, MoE } from "std"
model M(vocab: int = ${VOCAB}, dim: int = ${DIM}, n: int = ${N}) {
  embed: Embedding(vocab, dim)
  moe:   MoE([for e in 0..n: GeluMLP(dim, 4)], dim, 2, loss_free: true, rate: ${RATE})

  forward(tokens: u32[B, T <= 32]) -> f32[B, T, vocab] {
    x = embed(tokens)
    (x + moe(x)) @ transpose(embed.table)
  }
  objective(tokens: u32[B, T <= 32], targets: u32[B, T]) { loss fit = cross_entropy(forward(tokens), targets) }
}
`;

  /** Tokens that choose each expert: the two best of softmax plus bias. */
  function chosenLoad(state: TrainingState, tokens: Uint32Array): number[] {
    const [table, matrix] = [numbers(state, "embed.table"), numbers(state, "moe.router.weight")];
    const bias = numbers(state, "moe.bias");
    const load = Array.from({ length: N }, () => 0);
    for (const token of tokens) {
      const logits = bias.map((_, e) => {
        let sum = 0;
        for (let d = 0; d < DIM; d++) sum += table[token * DIM + d]! * matrix[e * DIM + d]!;
        return sum;
      });
      const total = logits.reduce((sum, l) => sum + Math.exp(l), 0);
      const order = logits.map((l, e) => ({ e, score: Math.exp(l) / total + bias[e]! }));
      order.sort((a, b) => b.score - a.score);
      expect(order[1]!.score - order[2]!.score).toBeGreaterThan(1e-6);
      for (const { e } of order.slice(0, 2)) load[e]!++;
    }
    return load;
  }

  it("moves by the loads of its choices over the whole step, in one part or two", async () => {
    for (const micro of [1, 2]) {
      const trainer = await trainerOf(micro, mixture);
      for (let n = 0; n < STEPS; n++) {
        const before = await trainer.state();
        await trainer.step(partsOf(n, micro), { learningRate: 0.1 });
        const after = await trainer.state();
        const wanted = lifted(numbers(before, "moe.bias"), chosenLoad(before, steps[n]!.tokens));
        expect(numbers(after, "moe.bias"), `step ${n} in ${micro} parts`).toEqual(wanted);
      }
      trainer.dispose();
    }
  });
});

describe("states of a program", () => {
  it("are results of the objective in train, with the reference's values, and of no other program", async () => {
    const { program, graph } = compile(source, { phase: "train", gradients: true });
    const inputs = {
      tokens: [
        [1, 2, 3, 4],
        [5, 6, 7, 8],
      ],
      targets: [
        [2, 3, 4, 5],
        [6, 7, 8, 9],
      ],
    };
    const weights = new Map(program!.weights.map((w) => [w.path, { shape: w.shape, data: initialValues(w, 3) }]));
    const wanted = evaluate(graph!, { inputs: new Map(Object.entries(inputs)), weights }).outputs;
    const session = await load(program!, device, (w) => weights.get(w.path)!.data);
    const found = await session.run(inputs);
    session.dispose();
    const names = Object.keys(found).filter((name) => /^(?:state|grad)\./.test(name));
    expect(names.filter((name) => name.startsWith("state."))).toEqual(STATES.map((path) => `state.${path}`));
    expect(names.filter((name) => name.startsWith("grad.gates"))).toEqual(["grad.gates.logits.weight"]);
    for (const path of STATES)
      expect([...found[`state.${path}`]!.data], path).toEqual([...wanted.get(`state.${path}`)!.data]);
    const others = (["infer", "generate"] as const).flatMap((phase) =>
      (["forward", "objective"] as const).flatMap((entry) => compile(source, { phase, entry }).program!.outputs),
    );
    expect(others.map((o) => o.name).filter((name) => name.startsWith("state."))).toEqual([]);
  });
});

describe("states of a run", () => {
  const file = folder.file("gates.mod", source.replaceAll(`vocab: int = ${VOCAB}`, "vocab: int = 256"));
  const data = folder.file("text.txt", "the white whale\nthe grey whale\n".repeat(60));
  const options = { data, device, steps: 6, batch: 4, accumulate: 2, context: 16, lr: 0.05, validateEvery: 3 };

  it("go on after a pause to the bytes of a run that was not disturbed, under their key", async () => {
    const whole = await train(file, { ...options, device, output: join(folder.path, "whole") });
    const stop = new AbortController();
    const onEvent = (event: TrainEvent): void => (event.kind === "step" && event.step === 2 ? stop.abort() : undefined);
    const output = join(folder.path, "stopped");
    const first = await train(file, { ...options, device, output, signal: stop.signal, onEvent });
    expect([first.reason, first.step < 6]).toEqual(["interrupted", true]);
    const result = await train(null, { output, resume: true, device });
    expect([result.reason, result.step]).toEqual(["finished", 6]);
    for (const name of ["model.safetensors", "state.safetensors"])
      expect(
        readFileSync(join(result.checkpoint!, name)).equals(readFileSync(join(whole.checkpoint!, name))),
        name,
      ).toBe(true);
    const header = readFileSync(join(whole.checkpoint!, "model.safetensors")).toString("latin1");
    expect(header).toContain('"gate.e_score_correction_bias":{"dtype":"F32","shape":[5]');
    expect(readFileSync(join(whole.checkpoint!, "state.safetensors")).toString("latin1")).not.toContain("gates.bias");
  });

  it("are no weights that --only could name, and move whatever it names", async () => {
    const failed = await train(file, {
      ...options,
      device,
      output: join(folder.path, "none"),
      only: "gates.bias",
    }).catch((e: unknown) => e);
    expect(failed).toBeInstanceOf(TrainError);
    expect((failed as TrainError).message).toBe("no weight is called gates.bias");
    const output = join(folder.path, "only");
    const { checkpoint } = await train(file, { ...options, device, output, only: "out.*" });
    const bytes = readFileSync(join(checkpoint!, "model.safetensors"));
    const size = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.subarray(8, 8 + size).toString()) as Record<string, { data_offsets: number[] }>;
    expect(bytes.readFloatLE(8 + size + header["gates.steps"]!.data_offsets[0]!)).toBe(6);
  });
});
