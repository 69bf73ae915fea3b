// A step of one batch, and the same sequences in any number of micro-batches, are one step.
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { train } from "../../../src/tools/train/index.js";
import { compileTraining, type TrainingPrograms } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch, StepMetrics, TrainingState } from "../../../src/tools/train/types.js";
import { exampleSource } from "../../compiler/autodiff/models.js";
import { testDevice } from "../../device.js";
import { expectClose } from "../../close.js";
import { random } from "../../random.js";
import { scratch } from "./folder.js";

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

describe("records with different numbers of targets", { tags: "long", timeout: 120_000 }, () => {
  const source = `import { Embedding, Layer, Linear, MoD } from "std"
model Small(dim: int = 16) {
  table: Embedding(13, dim)
  layer: MoD(Layer(dim, 2, hidden: 24), dim, 50%)
  head:  Linear(dim, 13)
  objective(tokens: u32[B, T <= 16], targets: i32[B, T]) { loss next = cross_entropy(head(layer(table(tokens))), targets) }
}`;
  /** Each record: its tokens, and how many of the first are not to be learned. */
  const records = random(8);
  const ALL = Array.from({ length: STEPS }, () =>
    Array.from({ length: SEQUENCES }, (_, n) => {
      const length = 3 + records.below(LENGTH - 3);
      const learned = n % 3 === 0 ? 1 : records.below(length + 1);
      const tokens = Array.from({ length }, () => records.below(13));
      return { tokens, targets: tokens.map((_, i) => (i < length - learned ? -1 : records.below(13))) };
    }),
  );

  function batchOf(some: (typeof ALL)[number]): Batch {
    const lengths = Uint32Array.from(some, ({ tokens }) => tokens.length);
    const length = Math.max(...lengths);
    const padded = (row: readonly number[], fill: number): readonly number[] =>
      Array.from({ length }, (_, i) => row[i] ?? fill);
    const targets = Int32Array.from(some.flatMap((record) => padded(record.targets, -1)));
    return {
      inputs: { tokens: Uint32Array.from(some.flatMap((record) => padded(record.tokens, 0))), targets },
      rows: some.length,
      length,
      lengths,
      weight: targets.filter((t) => t >= 0).length,
    };
  }

  async function steps(
    micro: number,
  ): Promise<{ readonly metrics: readonly StepMetrics[]; readonly state: TrainingState }> {
    const device = await testDevice();
    const { programs } = compileTraining(
      { source, file: "small.mod" },
      { optimizer: { kind: "sgd", momentum: 0, nesterov: false }, clip: null, microBatches: micro },
      { target: device.target },
    );
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
      rules: [],
    });
    try {
      const metrics: StepMetrics[] = [];
      for (const some of ALL) {
        const parts = Array.from({ length: micro }, (_, i) => batchOf(some.slice(i * rows, (i + 1) * rows)));
        metrics.push(await trainer.step(parts, { learningRate: 0.1 }));
      }
      return { metrics, state: await trainer.state() };
    } finally {
      trainer.dispose();
    }
  }

  // f32 sums in another order, over four steps of which each begins with the weights of the last.
  it("take the same steps from a file, as batches of 8 or 8 batches of one", async () => {
    const folder = scratch();
    const rows = Array.from({ length: 48 }, (_, n) => ({
      prompt: "q".repeat(1 + records.below(6)),
      completion: "the whale".slice(0, 1 + (n % 9)),
    }));
    const data = folder.file("rows.jsonl", rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const model = folder.file("small.mod", source.replaceAll("13", "256"));
    try {
      const found: StepMetrics[][] = [];
      for (const [batch, accumulate] of [
        [8, 1],
        [1, 8],
        [2, 4],
      ] as const) {
        const steps: StepMetrics[] = [];
        await train(model, {
          device: await testDevice(),
          data,
          output: join(folder.path, `${batch}`),
          batch,
          accumulate,
          steps: 4,
          context: LENGTH,
          optimizer: "sgd",
          lr: 0.1,
          validation: 0,
          onEvent: (event) => void (event.kind === "step" && steps.push(event.metrics)),
        });
        found.push(steps);
      }
      const [whole, ...parts] = found;
      expect(whole).toHaveLength(4);
      for (const steps of parts)
        for (const [n, { loss, losses, gradientNorm, tokens }] of steps.entries()) {
          const wanted = whole![n]!;
          expect(tokens).toBe(wanted.tokens);
          expect(loss).toBeCloseTo(wanted.loss, 4);
          expect(losses["next"]).toBeCloseTo(wanted.losses["next"]!, 4);
          expect(gradientNorm / wanted.gradientNorm).toBeCloseTo(1, 4);
        }
    } finally {
      folder.remove();
    }
  });

  // f32 sums in another order.
  it("take the same steps in 1, 2, 4 and 8 micro-batches", async () => {
    const one = await steps(1);
    for (const micro of [2, 4, 8]) {
      const { metrics, state } = await steps(micro);
      metrics.forEach((found, n) => {
        const what = `${micro} micro-batches, step ${n}`;
        const wanted = one.metrics[n]!;
        expect(found.loss, what).toBeCloseTo(wanted.loss, 5);
        for (const [path, loss] of Object.entries(wanted.losses))
          expect(found.losses[path], `${path}, ${what}`).toBeCloseTo(loss, 5);
        expect(found.gradientNorm / wanted.gradientNorm, what).toBeCloseTo(1, 4);
        expect(found.agreement["layer"], what).toBeCloseTo(wanted.agreement["layer"]!, 6);
        expect(found.computedShare, what).toBeCloseTo(wanted.computedShare, 10);
      });
      for (const [path, { data }] of one.state) {
        const values = Array.from(data);
        const largest = values.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
        expectClose(state.get(path)!.data, values, () => 1e-5 * largest, `${path} in ${micro} micro-batches`);
      }
    }
  });
});
