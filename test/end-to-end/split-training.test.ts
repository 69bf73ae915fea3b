// Training over a vocabulary whose logits exceed the limit of a binding: on a device, against the reference and against
// the same in one piece.
import { beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../src/runtime/index.js";
import { compileTraining } from "../../src/tools/train/programs.js";
import { createTrainer } from "../../src/tools/train/trainer.js";
import { testDevice } from "../device.js";
import { random } from "../random.js";
import { CLASSES, HEADS, narrow, ROWS } from "../compiler/schedule/large-heads.js";
import { expectAgreement } from "./agree.js";
import { compiled, onDevice, randomLengths, randomTokens, randomWeights, sessionOf, type Case } from "./model.js";

/** For sums of exponentials over thousands of classes, and products of the sums. */
const TOLERANCE = { atol: 2e-5, rtol: 2e-4 };
let device: Device;
beforeAll(async () => {
  device = await testDevice();
});

describe("in parts, on a device,", () => {
  it(
    "a head of its own, with a bias and capped logits, has the gradients of the reference",
    { tags: "long" },
    async () => {
      const name = "a head of its own with a bias, its logits capped";
      const { program, graph } = compiled(HEADS[name]!, {
        phase: "train",
        gradients: true,
        target: narrow(device.target),
      });
      const weights = randomWeights(program, 11);
      const shape = [ROWS.B, ROWS.T];
      const rng = random(3);
      const targets = Int32Array.from({ length: ROWS.B * ROWS.T }, () =>
        rng.below(6) === 0 ? -1 : rng.below(CLASSES),
      );
      // The runtime takes either for its dtype.
      const inputs = {
        tokens: randomTokens(shape, CLASSES, 3),
        targets: { shape, data: targets as unknown as Uint32Array },
      };
      const given: Case = { inputs, lengths: randomLengths(ROWS.B, ROWS.T, 5) };
      const session = await sessionOf(program, device, weights, ROWS);
      try {
        expectAgreement(graph, weights, given, await onDevice(session, given), TOLERANCE, { choices: 0, forced: 0 });
      } finally {
        session.dispose();
      }
    },
  );

  it("one table for both ends learns as it does in one piece", async () => {
    const name = "one table for both ends";
    const optimizer = { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 } as const;
    const rng = random(9);
    const tokens = Uint32Array.from({ length: ROWS.B * ROWS.T }, () => rng.below(CLASSES));
    const batch = {
      inputs: { tokens, targets: Int32Array.from(tokens, (t) => (t * 7) % CLASSES) },
      rows: ROWS.B,
      length: ROWS.T,
    };
    const losses: number[][] = [];
    for (const target of [device.target, narrow(device.target)]) {
      const source = { source: HEADS[name]!, file: "head.mod" };
      const { programs } = compileTraining(source, { optimizer, clip: 1, microBatches: 1 }, { target });
      const trainer = await createTrainer({
        programs: programs!,
        device,
        optimizer,
        weightDecay: 0.1,
        rows: ROWS.B,
        length: ROWS.T,
        microBatches: 1,
        seed: 1,
      });
      try {
        const own: number[] = [];
        for (let step = 0; step < 5; step++) own.push((await trainer.step([batch], { learningRate: 0.02 })).loss);
        losses.push(own);
      } finally {
        trainer.dispose();
      }
    }
    const [whole, parts] = losses as [number[], number[]]; // one for each target
    expect(whole[4]!).toBeLessThan(whole[0]! - 0.5);
    parts.forEach((loss, i) =>
      expect(Math.abs(loss - whole[i]!), `step ${i}: ${loss}, in one piece ${whole[i]}`).toBeLessThanOrEqual(
        1e-4 * whole[i]!,
      ),
    );
  });
});
