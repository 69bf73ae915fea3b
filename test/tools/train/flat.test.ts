// The memory of a training process does not grow with its steps: 200 of a tiny model here, 10,000 in `npm run soak`.
import { expect, it } from "vitest";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch } from "../../../src/tools/train/types.js";
import { exampleSource } from "../../compiler/autodiff/models.js";
import { testDevice } from "../../device.js";
import { Memory } from "../../memory.js";

const STEPS = 200 * Number(process.env["SOAK"] ?? "1");
/** What allocators and collectors leave lying about; a leak of 100 KB a step would be 30 MB even in the short run. */
const SLACK = 24e6;

it(
  `${STEPS} steps, with validation and state read in between, end with the memory they began with`,
  { tags: "long", timeout: 120_000 * Number(process.env["SOAK"] ?? "1") },
  async () => {
    const device = await testDevice();
    const set = { dim: "16", heads: "2", depth: "2", vocab: "13", context: "16", capacity: "50%" };
    const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
    const { programs } = compileTraining(
      { source: exampleSource("moby.mod"), file: "moby.mod", set },
      { optimizer, clip: 1, microBatches: 1 },
      { target: device.target },
    );
    const trainer = await createTrainer({
      programs: programs!,
      device,
      optimizer,
      weightDecay: 0.1,
      rows: 2,
      length: 16,
      microBatches: 1,
      seed: 1,
    });
    const batchAt = (step: number): Batch => {
      const tokens = Uint32Array.from({ length: 32 }, (_, i) => (i * 7 + step) % 13);
      return { inputs: { tokens, targets: tokens.map((t) => (t + 7) % 13) }, rows: 2, length: 16 };
    };
    async function* one(): AsyncIterable<Batch> {
      yield batchAt(0);
    }
    const [early, late] = [new Memory(), new Memory()];
    try {
      for (let step = 0; step < STEPS; step++) {
        const { loss } = await trainer.step([batchAt(step)], { learningRate: 1e-3 });
        expect(Number.isFinite(loss)).toBe(true);
        if (step % 50 === 49) {
          await trainer.evaluate(one(), "causal");
          await trainer.state();
        }
        // The second and the last fifth: by then everything has been made that is made once.
        const part = Math.floor((5 * step) / STEPS);
        if (part === 1) early.look();
        if (part === 4) late.look();
      }
    } finally {
      trainer.dispose();
    }
    expect(late.growthSince(early)).toBeLessThan(SLACK);
  },
);
