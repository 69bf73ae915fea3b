// Training steps in modc, through its own trainer.
import { compileTraining, type TrainingPrograms } from "../../src/tools/train/programs.js";
import { momentState, weightState } from "../../src/compiler/autodiff/train-step.js";
import { formatDiagnostics } from "../../src/language/diagnostics/format.js";
import type { StateValue, Target } from "../../src/runtime/index.js";
import { createTrainer } from "../../src/tools/train/trainer.js";
import type { Batch } from "../../src/tools/train/types.js";
import { modcDevice } from "../peers/modc.js";
import { decays, type TrainData } from "./protocol.js";
import type { MakeTrainee } from "./trainee.js";

/** A model's training step, compiled by modc. */
export function compileSteps(
  { id, source, set, settings }: Pick<TrainData, "id" | "source" | "set" | "settings">,
  target: Target,
): TrainingPrograms {
  const { beta1, beta2, eps, clip } = settings;
  const { programs, diagnostics, sources } = compileTraining(
    { source, file: `${id}.mod`, set },
    { optimizer: { kind: "adamw", beta1, beta2, eps }, clip, decays: (w) => decays(w.path, w), microBatches: 1 },
    { target },
  );
  if (!programs) throw new Error(formatDiagnostics(diagnostics, { sources }));
  return programs;
}

export const trainModc: MakeTrainee = async (data) => {
  const device = modcDevice();
  const { B, T, settings } = data;
  const { beta1, beta2, eps, decay, learningRate } = settings;
  const weights = new Map(data.weights);
  const trainer = await createTrainer({
    programs: compileSteps(data, device.target),
    device,
    weights: (w) => weights.get(w.path)!.data,
    optimizer: { kind: "adamw", beta1, beta2, eps },
    weightDecay: decay,
    rows: B,
    length: T,
    microBatches: 1,
    seed: 0,
  });
  let done = 0;
  return {
    async steps(count) {
      const steps = Array.from({ length: count }, () => {
        const { tokens, targets } = data.batches[done++ % data.batches.length]!;
        const batch: Batch = { inputs: { tokens, targets }, rows: B, length: T };
        return trainer.step([batch], { learningRate });
      });
      return (await Promise.all(steps)).map((s) => s.loss);
    },
    async standing() {
      const state = await trainer.state();
      const read = (name: (path: string) => string): [string, Float32Array][] =>
        data.weights.map(([path]) => [path, floats(state, name(path))]);
      return { weights: read(weightState), moments: read((path) => momentState("m", path)) };
    },
    async dispose() {
      trainer.dispose();
    },
  };
};

function floats(state: ReadonlyMap<string, StateValue>, name: string): Float32Array {
  const value = state.get(name);
  if (!value) throw new Error(`a trainer has no state ${name}`);
  return Float32Array.from(value.data);
}
