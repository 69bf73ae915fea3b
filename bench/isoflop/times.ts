// Measures a step of each variant, in turns and separately from the runs, which may have shared the machine.
import { readFileSync } from "node:fs";
import { openDevice } from "../../src/runtime/index.js";
import { createTrainer } from "../../src/tools/train/trainer.js";
import type { Batch, Trainer } from "../../src/tools/train/types.js";
import { random } from "../random.js";
import { spreadOf } from "../statistics.js";
import { compileSteps } from "../training/modc.js";
import type { StepTimes } from "./kept.js";
import { BATCH, CONTEXT, modelUrl, type PlannedRun } from "./plan.js";

/** Steps between two waits, and number of rounds. */
const STEPS = 5;
const ROUNDS = 7;

/** `a-0.2`: the name of a size and variant; all seeds share a model. */
export const modelOf = ({ variant, size }: Pick<PlannedRun, "variant" | "size">): string =>
  `${variant.name}-${size.name}`;

export async function measureSteps(runs: readonly PlannedRun[], say: (text: string) => void): Promise<StepTimes> {
  const models = new Map(runs.map((run) => [modelOf(run), run]));
  const device = await openDevice();
  const draw = random(5);
  const tokens = (): Uint32Array => Uint32Array.from({ length: BATCH * CONTEXT }, () => draw.below(256));
  const batch: Batch = { inputs: { tokens: tokens(), targets: tokens() }, rows: BATCH, length: CONTEXT };
  const adamw = { beta1: 0.9, beta2: 0.95, eps: 1e-8 };
  const trainers = new Map<string, Trainer>();
  const times = new Map<string, number[]>();
  try {
    for (const [name, { variant, size }] of models) {
      const set = { ...variant.set, ...size.set, context: String(CONTEXT) };
      const programs = compileSteps(
        {
          id: name,
          source: readFileSync(modelUrl(variant), "utf8"),
          set,
          settings: { ...adamw, decay: 0.1, clip: 1, learningRate: 0 },
        },
        device.target,
      );
      const optimizer = { kind: "adamw", ...adamw } as const;
      trainers.set(
        name,
        await createTrainer({
          programs,
          device,
          optimizer,
          weightDecay: 0.1,
          rows: BATCH,
          length: CONTEXT,
          microBatches: 1,
          seed: 1,
        }),
      );
    }
    for (let round = 0; round <= ROUNDS; round++) {
      say(`times: round ${round} of ${ROUNDS}`);
      for (const [name, trainer] of trainers) {
        const before = performance.now();
        await Promise.all(Array.from({ length: STEPS }, () => trainer.step([batch], { learningRate: 1e-4 })));
        // The first round warms up.
        if (round > 0) times.set(name, [...(times.get(name) ?? []), (performance.now() - before) / STEPS]);
      }
    }
  } finally {
    for (const trainer of trainers.values()) trainer.dispose();
    device.destroy();
  }
  return {
    device: device.info.name,
    medians: Object.fromEntries([...times].map(([name, own]) => [name, Number(spreadOf(own).median.toFixed(1))])),
  };
}
