// The operations of a step, as logged: with the live parameters it ran with, and its optimiser once however many
// micro-batches there are.
import { describe, expect, it } from "vitest";
import { targetOf } from "../../../src/tools/cli/program/plan.js";
import { ledger } from "../../../src/compiler/cost/ledger.js";
import type { Target } from "../../../src/runtime/program/target.js";
import { rational } from "../../../src/ground/numerics/rational.js";
import { compileTraining, type TrainingPrograms } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import { exampleSource } from "../../compiler/autodiff/models.js";
import { testDevice } from "../../device.js";

const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
const set = { dim: "16", heads: "2", depth: "2", vocab: "13", context: "16" };
const extents = new Map([
  ["B", 2],
  ["T", 16],
]);
const source = exampleSource("moby.mod").replace("capacity: ratio", "live capacity: ratio");
function compiled(microBatches: number, target: Target = targetOf("portable")): TrainingPrograms {
  const { programs } = compileTraining(
    { source, file: "moby.mod", set },
    { optimizer, clip: 1, microBatches },
    { target },
  );
  return programs!;
}

describe("the operations of a step", () => {
  it("are those of the ledger, at whatever live values", () => {
    const programs = compiled(1);
    for (const live of [null, rational(1), rational(1, 16), rational(3, 5)]) {
      const values = live && new Map([["capacity", live]]);
      const { total } = ledger(programs.graph, programs.model, { extents, ...(values ? { live: values } : {}) });
      // Sums of whole numbers and of fractions with small denominators: exact but for the order.
      expect(programs.flops(extents, values ?? undefined)).toBeCloseTo(total.executed.flops, 3);
    }
    expect(programs.flops(extents, new Map([["capacity", rational(1)]]))).toBeGreaterThan(
      1.2 * programs.flops(extents),
    );
  });

  it("have the optimiser once", { tags: "long" }, () => {
    const [one, two, three] = [1, 2, 3].map((n) => compiled(n).flops(extents)) as [number, number, number];
    const weights = compiled(1).model.weights.reduce((n, w) => n + w.shape.reduce((a, b) => a * b, 1), 0);
    const added = three - two;
    expect(added).toBeLessThan(one);
    // AdamW is some fifteen operations for each weight, and clipping three.
    expect((two - 2 * added) / weights).toBeGreaterThan(8);
    expect((two - 2 * added) / weights).toBeLessThan(30);
  });

  it("are told by the trainer for the capacity of each step", { tags: "long" }, async () => {
    const device = await testDevice();
    const programs = compiled(1, device.target);
    const trainer = await createTrainer({
      programs,
      device,
      optimizer,
      weightDecay: 0,
      rows: 2,
      length: 16,
      microBatches: 1,
      seed: 1,
      live: { capacity: 1 },
    });
    try {
      const words = Uint32Array.from({ length: 32 }, (_, i) => (i * 7) % 13);
      const batch = { inputs: { tokens: words, targets: words }, rows: 2, length: 16 };
      for (const [capacity, exact] of [
        [1, rational(1)],
        [0.25, rational(1, 4)],
      ] as const) {
        const { flops } = await trainer.step([batch], { learningRate: 0.01, live: { capacity } });
        expect(flops).toBe(programs.flops(extents, new Map([["capacity", exact]])));
      }
    } finally {
      trainer.dispose();
    }
  });
});
