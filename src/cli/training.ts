// From a model's file to what training needs of it: its text inputs, its losses, its live parameters, and a trainer on a device.
import { weightPatterns, unmatched } from "../train/patterns.js";
import type { Axis } from "../size/axes.js";
import type { Model } from "../check/model.js";
import type { SourceFile } from "../diagnostics/span.js";
import type { ProgramWeight } from "../program/program.js";
import { initialValues, matchWeights, openDevice, readWeight, type Device, type DeviceKind, type Words } from "../runtime/index.js";
import { openWeights } from "../runtime/node.js";
import type { TextInputs } from "../train/batches.js";
import { textInputsOf } from "../train/text-inputs.js";
import { TrainError } from "../train/errors.js";
import type { RunModel } from "../train/run-node.js";
import { largestLive, livePoints, type TrainSettings } from "../train/settings.js";
import type { Tunings } from "../schedule/tunings/index.js";
import type { Trainer } from "../train/types.js";
import { SourceError } from "../session/errors.js";
import { UserError } from "./exit.js";
import { pairs } from "./arguments.js";
import { checkText, type ModelFlags } from "./frontend.js";
import type { ModelText } from "./model-file.js";
import { asProgramWeight } from "./model-weights.js";
import type { TuningsFlags } from "./tunings.js";
import { showLoading } from "./loading.js";
import { say, type Progress } from "./terminal.js";

export interface TrainingModel {
  readonly run: RunModel;
  readonly live: Model["live"];
  /** The most tokens of a sequence; null: any number. */
  readonly bound: number | null;
}

/** Reads and checks a model's objective; prints its warnings. Throws SourceError where there is none. */
export async function trainingModel(text: ModelText, flags: ModelFlags): Promise<TrainingModel> {
  const { model, sources } = await checkText(text, { ...flags, phase: "train", enter: "objective" });
  const { lower } = await import("../lower/lower.js");
  const inputs = textInputs(model);
  const names = [inputs.tokens, ...(inputs.targets === null ? [] : [inputs.targets])];
  const routed = model.axes.some((a) => a.role === "sequence" && (a.count.kind === "top" || a.count.kind === "above"));
  const limits = lower(model).inputs.flatMap(({ node, below }) => (names.includes(node.attrs.name) && below !== null ? [below] : []));
  return {
    run: {
      name: model.name,
      parameters: Object.fromEntries(model.parameters.map(({ name, value }) => [name, value])),
      set: pairs("--set", flags.set ?? []),
      sources: ownSources(text, sources),
      weights: model.weights.map(asProgramWeight),
      ignore: model.ignore,
      inputs,
      vocabulary: limits.length === 0 ? null : Math.min(...limits),
      own: model.losses.filter((l) => l.own).map((l) => l.path),
      routed,
      rules: routed && (await canGenerate(text, flags)) ? ["top-k", "causal"] : ["top-k"],
    },
    live: model.live,
    bound: sequenceOf(model)?.bound ?? null,
  };
}

/** Whether the objective has a causal form; that it has none is no fault of a model that is only trained. */
async function canGenerate({ source, read }: ModelText, { model: name, set = [] }: ModelFlags): Promise<boolean> {
  const { check } = await import("../check/check.js");
  const options = { phase: "generate", entry: "objective", set: pairs("--set", set), read } as const;
  return check(source, name === undefined ? options : { ...options, model: name }).model !== null;
}

const sequenceOf = (model: Model): Axis | undefined => model.axes.find((a) => a.role === "sequence" && a.count.kind === "input");

/** The files a model was read from, its own first, without the library and the values of `--set`. */
function ownSources({ source, read }: ModelText, sources: readonly SourceFile[]): RunModel["sources"] {
  const own = sources.find((s) => s.file === source.file)!;
  const imported = sources.filter((s) => s !== own && typeof read(s.file) === "string");
  return [own, ...imported].map(({ file: path, text }) => ({ path, text }));
}

function textInputs(model: Model): TextInputs {
  const found = textInputsOf(model);
  if (found) return found;
  throw new UserError(
    `the objective of ${model.name} takes ${model.inputs.map((i) => i.name).join(", ") || "nothing"}: a text fills one input of tokens and one called targets`,
    "objective(tokens: u32[B, T], targets: u32[B, T]) { … }",
  );
}

/** That settings and model agree: the context within its bound, live parameters that it has, ratios that are some. Throws UserError. */
export function checkAgainst(settings: TrainSettings, { bound, live, run }: TrainingModel): void {
  if (bound !== null && settings.context > bound) throw new UserError(`--length ${settings.context}: ${run.name} allows ${bound}`);
  for (const [name, points] of livePoints(settings)) {
    const found = live.find((l) => l.name === name);
    if (!found)
      throw new UserError(
        `${run.name} has no live parameter ${name}`,
        live.length > 0 ? `it has ${live.map((l) => l.name).join(", ")}` : "declare it so: live capacity: ratio = 12.5%",
      );
    const wrong = found.kind === "ratio" ? points.find(({ value }) => value < 0 || value > 1) : undefined;
    if (wrong) throw new UserError(`${name} is ${wrong.value} at step ${wrong.step}: a ratio lies between 0 and 1`);
  }
}

export interface TrainerContext {
  readonly text: ModelText;
  readonly flags: ModelFlags & TuningsFlags;
  readonly kind: DeviceKind | null;
  /** Starting values; null: from the seed. */
  readonly weights: string | null;
  /** Tunings that the run kept, which it takes unless it is told otherwise; null: none. */
  readonly kept: string | null;
  readonly progress: Progress;
}

/** A trainer on the best device of a kind, which is gone with it. */
export async function openTrainer({ text, flags, kind, weights, kept, progress }: TrainerContext, settings: TrainSettings): Promise<Trainer> {
  progress.report("opening the device");
  const device = await openDevice(kind === null ? {} : { kind });
  try {
    const { compileTraining } = await import("../train/programs.js");
    const { createTrainer } = await import("../train/trainer.js");
    const tunings = await tuningsOf(device, flags, kept);
    const { source, read } = text;
    const set = pairs("--set", flags.set ?? []);
    const optimizer = optimizerOf(settings);
    progress.report("compiling");
    const { programs, diagnostics, sources } = compileTraining(
      { source: source.text, file: source.file, read, set, ...(flags.model === undefined ? {} : { model: flags.model }) },
      {
        optimizer,
        clip: settings.clip === 0 ? null : settings.clip,
        microBatches: settings.accumulate,
        recompute: settings.recompute,
        ...(settings.memory === 0 ? {} : { budget: { bytes: settings.memory, rows: settings.batch, length: settings.context, live: largestLive(settings) } }),
        ...(settings.only === "" ? {} : { trained: matching(settings.only) }),
      },
      { target: device.target, tunings },
    );
    if (!programs) {
      throw new SourceError(diagnostics, sources);
    }
    const missed =
      settings.only === ""
        ? null
        : unmatched(
            weightPatterns(settings.only),
            programs.model.weights.map((w) => w.path),
          );
    if (missed !== null)
      throw new TrainError("bad-option", `no weight is called ${missed}`, { hint: `the weights are ${listed(programs.model.weights.map((w) => w.path))}` });
    if (programs.trained.length === 0)
      throw new TrainError("bad-option", `no weight learns: ${settings.only === "" ? "the loss depends on none" : `none is called ${settings.only}`}`);
    if (programs.idle.length > 0) say(`note: the loss depends on none of ${listed(programs.idle)}: they stay as they are`);
    if (programs.recomputed.length > 0) say(`note: ${listed(programs.recomputed)} computed again for the backward pass`);
    const trainer = await createTrainer({
      programs,
      device,
      weights: weights ?? undefined,
      optimizer,
      weightDecay: settings.weightDecay,
      rows: settings.batch,
      length: settings.context,
      microBatches: settings.accumulate,
      seed: settings.seed,
      live: largestLive(settings),
      onProgress: (event) => showLoading(event, progress),
    });
    progress.clear();
    const { tuningsFile, printTunings } = await import("../schedule/tunings/file.js");
    return withDevice(trainer, device, { digest: programs.step.tunings, text: printTunings(tuningsFile(device.info, device.target, tunings)) });
  } catch (error) {
    progress.clear();
    device.destroy();
    throw error;
  }
}

const optimizerOf = ({ optimizer, beta1, beta2, eps, momentum }: TrainSettings) =>
  optimizer === "adamw" ? ({ kind: "adamw", beta1, beta2, eps } as const) : ({ kind: "sgd", momentum, nesterov: false } as const);

/** Those that are named, else those that the run kept, else what there is for the device. */
async function tuningsOf(device: Device, flags: TuningsFlags, kept: string | null): Promise<Tunings> {
  const { keptTunings, tuningsOn } = await import("./tunings.js");
  const { tuningsFor } = await import("../schedule/tunings/index.js");
  const own = kept === null || flags.tunings !== undefined ? null : keptTunings(kept, device);
  return own ?? tuningsOn(device, flags) ?? tuningsFor(device.target);
}

const withDevice = (trainer: Trainer, device: Device, tunings: { readonly digest: string; readonly text: string }): Trainer => ({
  machine: { device: device.info.name, driver: device.info.driver, tunings: tunings.digest },
  tunings: tunings.text,
  step: (...given) => trainer.step(...given),
  evaluate: (...given) => trainer.evaluate(...given),
  state: () => trainer.state(),
  restore: (state) => trainer.restore(state),
  whyNotFinite: (...given) => trainer.whyNotFinite(...given),
  dispose: () => {
    trainer.dispose();
    device.destroy();
  },
});

/** Whether a weight's path is one of some patterns. */
export function matching(patterns: string): (weight: { readonly path: string }) => boolean {
  const each = weightPatterns(patterns);
  return ({ path }) => each.some((p) => p.test(path));
}

const listed = (paths: readonly string[]): string => `${paths.slice(0, 4).join(", ")}${paths.length > 4 ? ` and ${paths.length - 4} more` : ""}`;

/** Tokens of a sequence where nobody says: as many as the model allows, within reason. */
export const usualContext = (bound: number | null): number => Math.min(bound ?? 256, 2048);

/** Starting value of one weight: of a file, or from the seed. */
export async function startingValue(weight: ProgramWeight, seed: number, weights: string | null, model: Pick<RunModel, "weights" | "ignore">): Promise<Words> {
  if (weights === null) return initialValues(weight, seed);
  const source = await openWeights(weights);
  try {
    return await readWeight(weight, matchWeights(model, source).get(weight)!, source);
  } finally {
    await source.close();
  }
}
