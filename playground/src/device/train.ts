// Trains a model on a text on the page's device, and keeps the trained weights for later runs.
import { countOf } from "../../../src/ground/base/collections.js";
import type { Program, ProgramWeight } from "../../../src/runtime/program/program.js";
import { initialValues, type Words } from "../../../src/runtime/index.js";
import { batchAt } from "../../../src/tools/train/batches.js";
import { compileTraining, type TrainingPrograms } from "../../../src/tools/train/programs.js";
import { stepSettings, withDefaults } from "../../../src/tools/train/settings.js";
import type { TrainSettings } from "../../../src/tools/train/options.js";
import { textInputsOf } from "../../../src/language/check/model/text-inputs.js";
import { createTrainer } from "../../../src/tools/train/trainer.js";
import type { Batch, Trainer } from "../../../src/tools/train/types.js";
import { split, START } from "../../../src/tools/train/windows.js";
import { recordPlan } from "../../../src/tools/train/record-plan.js";
import { FILE } from "../compiler/memo.js";
import { describeDevice, pageDevice } from "./device.js";
import { ModelError } from "./errors.js";
import { recordBatches } from "./records.js";
import type { TrainAsk, TrainEvent, TrainSummary } from "./protocol.js";

/** The limit on a model's weight values: training keeps four values for each, and activations. */
const MOST_WEIGHTS = 25e6;

/** The last trained weights, and their program. */
let learned: {
  readonly key: string;
  readonly steps: number;
  readonly values: (weight: ProgramWeight) => Words;
} | null = null;

const keyOf = ({ text, set }: TrainAsk["source"]): string => JSON.stringify([text, set]);

/** The weights trained for this program; null if the last training was of another program. */
export const learnedBy = (source: TrainAsk["source"]): typeof learned =>
  learned?.key === keyOf(source) ? learned : null;

export async function train(
  ask: TrainAsk,
  tell: (event: TrainEvent) => void,
  signal: AbortSignal,
): Promise<TrainSummary> {
  const { source, steps, batch: rows, context, learningRate: lr } = ask;
  const settings = withDefaults({
    steps,
    batch: rows,
    context,
    lr,
    warmup: Math.min(10, Math.floor(steps / 10)),
    schedule: "cosine",
    validation: 0,
  });
  tell({ kind: "stage", text: "opening the device" });
  const device = await pageDevice();
  tell({ kind: "stage", text: "compiling" });
  const programs = compiled(ask, settings, device.target);
  const { per, next } = lessonsOf(ask, programs, settings.seed);
  const trainer = await createTrainer({
    programs,
    device,
    optimizer: optimizerOf(settings),
    weightDecay: settings.weightDecay,
    rows,
    length: context,
    microBatches: 1,
    rules: [],
    seed: settings.seed,
    onProgress: (event) =>
      event.kind !== "grow" && tell({ kind: "stage", text: `${event.kind} ${event.done} of ${event.total}` }),
  });
  try {
    tell({ kind: "ready", device: describeDevice(device), weights: numbersOf(programs.step), per });
    const own = programs.model.losses.flatMap((l) => (l.own ? [l.path] : []));
    const settingsAt = stepSettings(settings);
    let done = 0;
    while (done < steps && !signal.aborted) {
      const batch = await next();
      const metrics = await trainer.step([batch], settingsAt(done));
      if (!Number.isFinite(metrics.loss) || !Number.isFinite(metrics.gradientNorm))
        throw new ModelError(
          `step ${done + 1} is not a number: ${await trainer.whyNotFinite(done + 1, [batch], settingsAt(done))}`,
          "lower the learning rate",
        );
      done++;
      const loss = own.reduce((sum, path) => sum + (metrics.losses[path] ?? 0), 0);
      tell({ kind: "step", step: done, loss, tokens: metrics.tokens, seconds: metrics.seconds });
    }
    if (done > 0) learned = await weightsOf(trainer, source, done, settings.seed);
    return { steps: done, stopped: done < steps };
  } finally {
    trainer.dispose();
  }
}

/** What a step learns, batch by batch: windows of a text, or records. */
function lessonsOf(
  ask: TrainAsk,
  { model }: TrainingPrograms,
  seed: number,
): { readonly per: "byte" | "record"; readonly next: () => Batch | Promise<Batch> } {
  const { batch: rows, context, text } = ask;
  const inputs = textInputsOf(model);
  if (!inputs) {
    const plan = recordPlan(model);
    return { per: plan.byTargets ? "byte" : "record", next: recordBatches(plan, ask, seed) };
  }
  const bytes = new TextEncoder().encode(text);
  const corpus = {
    separator: null,
    read: async (at: number, count: number) => Uint32Array.from(bytes.subarray(at, at + count)),
  };
  const options = { corpus, inputs, split: split(bytes.length, context, 0), rows, context };
  let position = START;
  const next = async (): Promise<Batch> => {
    const found = await batchAt(position, seed, options);
    position = found.next;
    return found.batch;
  };
  return { per: "byte", next };
}

function compiled(
  { source }: TrainAsk,
  settings: TrainSettings,
  target: Parameters<typeof compileTraining>[2]["target"],
): TrainingPrograms {
  const given = { source: source.text, file: FILE, set: source.set };
  const { programs, diagnostics } = compileTraining(
    given,
    { optimizer: optimizerOf(settings), clip: settings.clip, microBatches: 1 },
    { target },
  );
  if (!programs) {
    const error = diagnostics.find((d) => d.severity === "error");
    throw new ModelError(`the model cannot be trained: ${error?.message ?? "it has errors"}`, error?.hint ?? null);
  }
  const numbers = numbersOf(programs.step);
  if (numbers > MOST_WEIGHTS)
    throw new ModelError(
      `the model has ${Math.round(numbers / 1e6)} million numbers in its weights, too many to train in a page`,
      "make it smaller under Parameters",
    );
  const sequence = programs.model.axes.find((a) => a.role === "sequence" && a.count.kind === "input");
  const bound = sequence?.bound ?? null;
  if (bound !== null && settings.context > bound)
    throw new ModelError(`the context is ${settings.context}, but the model allows ${bound}`);
  return programs;
}

const optimizerOf = ({ beta1, beta2, eps }: TrainSettings) => ({ kind: "adamw", beta1, beta2, eps }) as const;

const numbersOf = ({ weights }: Program): number => weights.reduce((sum, { shape }) => sum + countOf(shape), 0);

async function weightsOf(
  trainer: Trainer,
  source: TrainAsk["source"],
  steps: number,
  seed: number,
): Promise<NonNullable<typeof learned>> {
  const state = await trainer.state();
  return { key: keyOf(source), steps, values: (weight) => state.get(weight.path)?.data ?? initialValues(weight, seed) };
}
