// A step whose loss is NaN or infinite: the step and later steps that had begun change nothing, and the fault is found
// in the step itself, not in later ones.
import { beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../../src/runtime/index.js";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch, Trainer } from "../../../src/tools/train/types.js";
import { modelDevice } from "../../model-device.js";

// The exponential of token 3 overflows as long as the scale is 1; a step on other tokens makes it small.
const source = `model M() {
  grow: Grow()
  objective(tokens: u32[B, T]) { loss l = mean(grow(f32(tokens))) }
}
block Grow() {
  weight scale: f32[1] = normal(1.0)
  forward(x: f32[B, T]) -> f32[B, T] {
    y = exp(x * x * 10 * scale)
    y * y
  }
}
`;
const optimizer = { kind: "sgd", momentum: 0, nesterov: false } as const;
const batch = (...tokens: number[]): Batch => ({
  inputs: { tokens: Uint32Array.from(tokens) },
  rows: 1,
  length: tokens.length,
});
const [fine, wrong] = [batch(1, 0, 1), batch(1, 3, 0)];

describe.each([1, 2])("a step of %i micro-batches that overflows", (microBatches) => {
  let device: Device;
  beforeAll(async () => {
    device = await modelDevice();
  });
  const step = (last: Batch): readonly Batch[] => [...Array.from({ length: microBatches - 1 }, () => fine), last];
  async function withTrainer(use: (trainer: Trainer) => Promise<void>): Promise<void> {
    const { programs, diagnostics } = compileTraining(
      { source, file: "m.mod" },
      { optimizer, clip: 1, microBatches },
      { target: device.target },
    );
    expect(diagnostics).toEqual([]);
    const options = {
      programs: programs!,
      device,
      optimizer,
      weightDecay: 0,
      rows: 1,
      length: 3,
      microBatches,
      seed: 1,
    };
    const trainer = await createTrainer({ ...options, weights: () => Float32Array.of(1) });
    try {
      await use(trainer);
    } finally {
      trainer.dispose();
    }
  }
  const scaleOf = async (trainer: Trainer): Promise<number> => (await trainer.state()).get("grow.scale")!.data[0]!;

  it("is found in it, though another was begun behind it", () =>
    withTrainer(async (trainer) => {
      const settings = { learningRate: 0.8 };
      const [first, second] = await Promise.all([
        trainer.step(step(wrong), settings),
        trainer.step(step(fine), settings),
      ]);
      expect(Number.isFinite(first.loss)).toBe(false);
      expect(Number.isFinite(second.loss)).toBe(true);
      expect(await scaleOf(trainer)).toBe(1);
      const which = microBatches > 1 ? " (micro-batch 2 of 2)" : "";
      expect(await trainer.whyNotFinite(1, step(wrong), settings)).toBe(
        `the first value that is not finite is the result of exp in grow, m.mod:8${which}`,
      );
    }));

  it("holds nothing that begins when it is known, and is no part of the state", () =>
    withTrainer(async (trainer) => {
      await Promise.all([
        trainer.step(step(wrong), { learningRate: 0.8 }),
        trainer.step(step(fine), { learningRate: 0.8 }),
      ]);
      expect([...(await trainer.state()).keys()].filter((name) => name.startsWith("step."))).toEqual(["step.count"]);
      await trainer.step(step(fine), { learningRate: 0.5 });
      // SGD on a gradient that is clipped to 1.
      expect(await scaleOf(trainer)).toBeCloseTo(0.5, 5);
    }));
});
