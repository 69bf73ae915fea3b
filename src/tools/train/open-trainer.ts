// Opens a trainer: compiles a model's source for a device, and loads weights and tunings.
import {
  openDevice,
  Device,
  type OpenDeviceOptions,
  type SessionEvent,
  type WeightsInput,
} from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import { isOf, parseTunings, printTunings, TuningsError, tuningsFile } from "../../compiler/schedule/tunings/file.js";
import { misfitOf, tuningsFor, type Tunings } from "../../compiler/schedule/tunings/index.js";
import type { Diagnostic } from "../../language/diagnostics/diagnostic.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import { SourceError } from "../../language/diagnostics/errors.js";
import type { StepOptions } from "../../compiler/autodiff/train-step.js";
import { TrainError } from "./errors.js";
import type { ModelChoice, ModelSource } from "./model.js";
import { listed, weightsMatching } from "./patterns.js";
import { bytesOf, storedNote } from "./memory.js";
import { compileTraining, extentsOf, type TrainingOptions, type TrainingPrograms } from "./programs.js";
import { largestLive } from "./settings.js";
import { usualPredictorLr, type TrainSettings } from "./options.js";
import { continued, sampleProgram } from "./sample.js";
import { createTrainer, type TrainerProgram } from "./trainer.js";
import type { Rule, Trainer } from "./types.js";

/** Progress before the first step; `of` is the program concerned. */
export type Preparation =
  | { readonly kind: "text"; readonly done: number; readonly total: number }
  | { readonly kind: "device" | "compile" }
  | {
      readonly kind: "kernels" | "weights";
      readonly of: TrainerProgram;
      readonly done: number;
      readonly total: number;
    };

/**
 * Chooses the tunings of a device. `kept`: the resumed run's tunings, if they fit the device. Null: the tunings of the
 * device's class.
 */
export type ChooseTunings = (device: Device, kept: Tunings | null) => Tunings | null;

export interface OpenTrainerOptions {
  readonly text: ModelSource;
  readonly choice: ModelChoice;
  /** An open device, or options for opening one. */
  readonly device: Device | OpenDeviceOptions;
  readonly tunings: ChooseTunings;
  /** Initial weights; null: initialized from the seed. */
  readonly weights: WeightsInput | null;
  /** The resumed run's tunings file as text; null: none. */
  readonly kept: string | null;
  readonly rules: readonly Rule[];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress: (done: Preparation) => void;
  /** Called with remarks that are not errors, each a sentence. */
  readonly onNote: (text: string) => void;
}

/**
 * Opens a trainer and, unless an open device is passed, a device. Throws SourceError, TrainError, and the errors of
 * `openDevice` and `load`.
 */
export async function openTrainer(options: OpenTrainerOptions, settings: TrainSettings): Promise<Trainer> {
  const { device: wanted, onProgress, onNote, signal } = options;
  onProgress({ kind: "device" });
  const device = wanted instanceof Device ? wanted : await openDevice({ ...wanted, spare: false });
  const close = (): void => {
    if (device !== wanted) device.destroy();
  };
  try {
    signal?.throwIfAborted();
    const { tunings, text: tuningsText } = tuningsOf(device, options);
    onProgress({ kind: "compile" });
    const programs = compiled(options, settings, device, tunings);
    const { text, choice } = options;
    const sampled = settings.sample === "" ? null : sampleProgram(text, choice, device, tunings, settings);
    signal?.throwIfAborted();
    if (programs.idle.length > 0)
      onNote(`the loss does not depend on ${listed(programs.idle)}: these weights will not change`);
    if (programs.recomputed.length > 0) onNote(`${listed(programs.recomputed)} computed again for the backward pass`);
    if (settings.precision !== "f32") onNote(storedNote(programs, settings.precision));
    const trainer = await createTrainer({
      programs,
      device,
      weights: options.weights ?? undefined,
      optimizer: optimizerOf(settings),
      weightDecay: settings.weightDecay,
      rows: settings.batch,
      length: settings.context,
      microBatches: settings.accumulate,
      seed: settings.seed,
      live: largestLive(settings),
      rules: options.rules,
      signal,
      onProgress: (event, of) => tell(event, of, options),
    });
    const extents = extentsOf(programs.model, settings.batch, settings.context);
    const memory = bytesOf(programs, extents, largestLive(settings));
    return withDevice({
      trainer,
      memory,
      device,
      sampled,
      tunings: { digest: programs.step.tunings, text: tuningsText },
      close,
    });
  } catch (error) {
    close();
    throw error;
  }
}

const tell = (event: SessionEvent, of: TrainerProgram, { onProgress, onNote }: OpenTrainerOptions): void =>
  event.kind === "grow"
    ? onNote(event.message)
    : onProgress({ kind: event.kind, of, done: event.done, total: event.total });

/** The compiled programs. Throws SourceError and TrainError. */
function compiled(
  { text, choice }: OpenTrainerOptions,
  settings: TrainSettings,
  device: Device,
  tunings: Tunings,
): TrainingPrograms {
  const { source, read } = text;
  const {
    programs,
    diagnostics,
    sources,
  }: { programs: TrainingPrograms | null; diagnostics: readonly Diagnostic[]; sources: readonly SourceFile[] } =
    compileTraining(
      {
        source: source.text,
        file: source.file,
        read,
        set: choice.set,
        ...(choice.model === undefined ? {} : { model: choice.model }),
      },
      stepOptions(settings),
      { target: device.target, tunings },
    );
  if (!programs) throw new SourceError(diagnostics, sources);
  if (programs.trained.length === 0)
    throw new TrainError(
      "bad-option",
      `no weight can be trained: the loss depends on none${settings.only === "" ? "" : ` of ${settings.only}`}`,
    );
  expectGroups(settings, programs);
  return programs;
}

/** Throws TrainError for a learning rate of routers or predictors if the model has none to train. */
function expectGroups(settings: TrainSettings, { trained, roles }: TrainingPrograms): void {
  const groups = [
    ["router", "--router-lr", settings.routerLr, settings.lr],
    ["predictor", "--predictor-lr", settings.predictorLr, usualPredictorLr(settings)],
  ] as const;
  for (const [group, flag, rate, usual] of groups)
    if (rate !== usual && !trained.some((path) => roles.get(path) === group))
      throw new TrainError("bad-option", `${flag} has no effect: no ${group} of the model is trained`, {
        hint: "leave it out",
      });
}

const stepOptions = (settings: TrainSettings): TrainingOptions => ({
  optimizer: optimizerOf(settings),
  clip: settings.clip === 0 ? null : settings.clip,
  microBatches: settings.accumulate,
  ownRates: true,
  ...(settings.ema === 0 ? {} : { ema: settings.ema }),
  recompute: settings.recompute,
  ...(settings.precision === "f32" ? {} : { precision: { weights: settings.precision } }),
  ...(settings.products === "f32" ? {} : { products: settings.products }),
  ...(settings.memory === 0
    ? {}
    : {
        budget: { bytes: settings.memory, rows: settings.batch, length: settings.context, live: largestLive(settings) },
      }),
  ...(settings.only === "" ? {} : { trained: weightsMatching(settings.only) }),
});

function optimizerOf(settings: TrainSettings): StepOptions["optimizer"] {
  const { optimizer: kind, beta1, beta2, eps, momentum } = settings;
  switch (kind) {
    case "adamw":
      return { kind, beta1, beta2, eps };
    case "sgd":
      return { kind, momentum, nesterov: false };
    case "muon":
      return { kind, momentum, beta1, beta2, eps };
    case "lion":
      return { kind, beta1, beta2 };
    case "adafactor":
      return { kind };
    default:
      return kind satisfies never;
  }
}

/** The chosen tunings and their file's text; the resumed run's own text if its tunings were chosen. */
function tuningsOf(
  device: Device,
  { kept: text, tunings: choose, onNote }: OpenTrainerOptions,
): { readonly tunings: Tunings; readonly text: string } {
  const kept = text === null ? null : keptTunings(text, device, onNote);
  const tunings = choose(device, kept) ?? tuningsFor(device.target);
  return {
    tunings,
    text: text !== null && tunings === kept ? text : printTunings(tuningsFile(device.info, device.target, tunings)),
  };
}

/** The resumed run's tunings, if they fit the device; null, with a note, if they do not. */
function keptTunings(text: string, device: Device, onNote: (text: string) => void): Tunings | null {
  const fault = (why: string): null => {
    onNote(`the tunings stored in the run are not used: ${why}`);
    return null;
  };
  try {
    const file = parseTunings(text);
    const misfit = misfitOf(file.tunings, device.target);
    if (!isOf(file, device.info)) return fault("they were measured on another device or driver");
    return misfit === null ? file.tunings : fault(`they do not fit the device: ${misfit}`);
  } catch (cause) {
    if (cause instanceof TuningsError) return fault(cause.message);
    throw cause;
  }
}

interface OnDevice {
  readonly trainer: Trainer;
  readonly memory: number;
  readonly device: Device;
  /** The programs of samples; null: there are none. */
  readonly sampled: Generation | null;
  readonly tunings: { readonly digest: string; readonly text: string };
  readonly close: () => void;
}

const withDevice = ({ trainer, memory, device, sampled, tunings, close }: OnDevice): Trainer => ({
  machine: { device: device.info.name, driver: device.info.driver, tunings: tunings.digest },
  memory,
  tunings: tunings.text,
  step: (...given) => trainer.step(...given),
  evaluate: (...given) => trainer.evaluate(...given),
  ...(sampled && { sample: async (given) => continued(sampled, device, await trainer.state(), given) }),
  state: () => trainer.state(),
  restore: (state) => trainer.restore(state),
  whyNotFinite: (...given) => trainer.whyNotFinite(...given),
  dispose: () => {
    trainer.dispose();
    close();
  },
});
