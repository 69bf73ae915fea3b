// Layers that are computed again: which, how many a budget needs, and that they change nothing but memory.
import { describe, expect, it } from "vitest";
import { targetOf } from "../../../src/tools/cli/program/plan.js";
import { memoryOf } from "../../../src/runtime/index.js";
import {
  compileTraining,
  extentsOf,
  type TrainingOptions,
  type TrainingPrograms,
} from "../../../src/tools/train/programs.js";
import { bytesOf } from "../../../src/tools/train/memory.js";
import { IN_FLIGHT } from "../../../src/tools/train/types.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import { largestLive, withDefaults } from "../../../src/tools/train/settings.js";
import type { Batch } from "../../../src/tools/train/types.js";
import { exampleSource } from "../../compiler/autodiff/models.js";
import { testDevice } from "../../device.js";
import { random } from "../../random.js";

const SMALL = { dim: "32", heads: "2", depth: "3", vocab: "13", context: "64" };
const [ROWS, LENGTH] = [4, 64];
const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;

/** Programs by what they were compiled with: most are asked for again. */
const known = new Map<string, TrainingPrograms>();

function compiled(options: Partial<TrainingOptions> = {}, target = targetOf("portable")): TrainingPrograms {
  const key = JSON.stringify([options, target]);
  const before = known.get(key);
  if (before) return before;
  const { programs } = compileTraining(
    { source: exampleSource("moby.mod"), file: "moby.mod", set: SMALL },
    { optimizer, clip: 1, microBatches: 1, ...options },
    { target },
  );
  known.set(key, programs!);
  return programs!;
}

const bytes = (programs: TrainingPrograms): number => bytesOf(programs, extentsOf(programs.model, ROWS, LENGTH));

describe("layers that are computed again", () => {
  it("are none, all, or those named", { tags: "long" }, () => {
    expect(compiled().recomputed).toEqual([]);
    expect(compiled({ recompute: "all" }).recomputed).toEqual(["layers.0", "layers.1", "layers.2"]);
    expect(compiled({ recompute: "layers.0, *.2" }).recomputed).toEqual(["layers.0", "layers.2"]);
    expect(() => compiled({ recompute: "blocks.*" })).toThrow(/no layer is called blocks/);
    expect(() => compiled({ recompute: "layers.0, layres.2" })).toThrow(/no layer is called layres.2/);
  });

  it("are as few as a budget needs, and a budget that does not suffice says what would", { tags: "long" }, () => {
    const [none, all] = [bytes(compiled()), bytes(compiled({ recompute: "all" }))];
    expect(all).toBeLessThan(none);
    const within = (most: number): TrainingPrograms =>
      compiled({ budget: { bytes: most, rows: ROWS, length: LENGTH } });
    expect(within(none).recomputed).toEqual([]);
    const some = within(none - 1);
    expect(some.recomputed.length).toBeGreaterThan(0);
    expect(bytes(some)).toBeLessThan(none);
    expect(bytes(within(all))).toBeLessThanOrEqual(all);
    expect(() => within(all - 1)).toThrow(/even if every layer is recomputed/);
  });

  it("leave room for what a checkpoint reads states through", () => {
    const programs = compiled();
    const { step } = programs;
    const max = Object.fromEntries(extentsOf(programs.model, ROWS, LENGTH));
    const largest = 4 * Math.max(...step.states.map((s) => s.shape.reduce<number>((n, d) => n * Number(d), 1)));
    const rest = [...new Set(Object.values(programs.evaluate))]
      .map((p) => memoryOf(p, { max }))
      .reduce((sum, { total, states }) => sum + total - states, 0);
    expect(bytes(programs) - rest - memoryOf(step, { max, inFlight: IN_FLIGHT }).total).toBe(largest);
  });

  it("are counted for the largest values that live parameters will have", { tags: "long" }, () => {
    const source = exampleSource("moby.mod").replace("capacity: ratio", "live capacity: ratio");
    const at = (live: Readonly<Record<string, number>>): number => {
      const { programs } = compileTraining(
        { source, file: "live.mod", set: SMALL },
        { optimizer, clip: 1, microBatches: 1 },
        { target: targetOf("portable") },
      );
      return bytesOf(programs!, extentsOf(programs!.model, ROWS, LENGTH), live);
    };
    expect(at({ capacity: 1 })).toBeGreaterThan(at({}));
    expect(at({ capacity: 0.125 })).toBe(at({}));
    expect(largestLive(withDefaults({ context: 8, steps: 100, live: "capacity=100%@0,12.5%@50%\nspeed=0.5" }))).toEqual(
      { capacity: 1, speed: 0.5 },
    );
  });

  it("leave loss and gradients what they are, to rounding", { tags: "long" }, async () => {
    const device = await testDevice();
    const rng = random(4);
    const words = (): Uint32Array => Uint32Array.from({ length: ROWS * LENGTH }, () => rng.below(13));
    const batch: Batch = { inputs: { tokens: words(), targets: words() }, rows: ROWS, length: LENGTH };
    const steps = await Promise.all(
      ["none", "all"].map(async (recompute) => {
        const trainer = await createTrainer({
          programs: compiled({ recompute }, device.target),
          device,
          optimizer,
          weightDecay: 0.1,
          rows: ROWS,
          length: LENGTH,
          microBatches: 1,
          seed: 3,
        });
        const found = await trainer.step([batch], { learningRate: 0.01 });
        trainer.dispose();
        return found;
      }),
    );
    const [kept, again] = steps as [(typeof steps)[number], (typeof steps)[number]]; // two of two
    expect(again.loss).toBeCloseTo(kept.loss, 5);
    expect(again.gradientNorm / kept.gradientNorm).toBeCloseTo(1, 4);
  });
});
