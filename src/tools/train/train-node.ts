// `train`: trains a `.mod` file or a Hugging Face checkpoint on a text, from paths to the result. Node only.
import type { ModelWeights, OpenedModel } from "../../models/opened/model.js";
import { closing, openModel } from "../../models/open-node.js";
import type { Precision } from "../../runtime/program/target.js";
import type { BlockWeights, Device, OpenDeviceOptions, WeightsInput } from "../../runtime/index.js";
import { TrainError } from "./errors.js";
import { type TrainEvent, Outcome, type TrainResult } from "./events.js";
import { checkAgainst, trainingModel, usualContext, withDense, type ModelSource } from "./model.js";
import { openTrainer, type ChooseTunings, type Preparation } from "./open-trainer.js";
import { before, type Before } from "./resume-node.js";
import { trainModel } from "./run-node.js";
import type { DataOptions } from "./data.js";
import { recordSettings } from "./data-node.js";
import type { RecordSettings } from "./data.js";
import { trainOptions, type TrainSettings } from "./options.js";
import { openStartingWeights } from "./starting-weights.js";

/** Options of `train`: the settings (`TrainSettings`, each with a default), the data, and the output folder. */
export interface TrainOptions extends Partial<Omit<TrainSettings, "live" | "precision" | "products">>, RecordSettings {
  /** A file, a folder, or an installed package. A resumed run reads its earlier text. */
  readonly data?: string;
  /** The folder for checkpoints, log and report; created if missing. */
  readonly output: string;
  /**
   * A `tokenizer.json`. Default: the tokenizer in the model's folder if the model is a folder, else each byte is a
   * token.
   */
  readonly tokenizer?: string;
  /** The model to train, if the file declares several. */
  readonly model?: string;
  /** Parameters of the model: `{ depth: 12 }`. */
  readonly set?: Readonly<Record<string, string | number | boolean>>;
  /**
   * Initial weights, which may be the folder of a run: that run's values of live parameters are then the defaults of
   * this run too. Weights of several files: `{ teacher: path, student: path }`, by the paths of blocks.
   * Default: the weights in the model's folder if the model is a folder, else initialized from `seed`.
   */
  readonly weights?: WeightsInput | BlockWeights;
  /** Resumes from the last checkpoint of `output`, or from the checkpoint of a step. */
  readonly resume?: boolean | number;
  /** Live parameters: a value, or values at steps: `{ capacity: "100%@0,12.5%@50%" }`. */
  readonly live?: Readonly<Record<string, number | string>>;
  /**
   * `weights`: the storage type of frozen weights (see `only`), such as `"q8"`; trainable weights are f32. `products`:
   * the type to which products in training round what they multiply, `"bf16"` or `"f16"`, which scales the loss; sums
   * and all else are f32.
   */
  readonly precision?: Pick<Precision, "weights"> & { readonly products?: TrainSettings["products"] };
  /** An open device, or options for opening one. Default: the best available. */
  readonly device?: Device | OpenDeviceOptions;
  /**
   * Chooses the tunings, given the opened device and the resumed run's tunings. Default: the resumed run's tunings,
   * else the tunings of the device's class.
   */
  readonly tunings?: ChooseTunings;
  /** Whether to write the log's figures for TensorBoard too. Default false. */
  readonly tensorboard?: boolean;
  /**
   * If aborted, the steps under way are finished, a checkpoint is written, and the result has the reason `interrupted`.
   * If aborted before the first step, its reason is thrown.
   */
  readonly signal?: AbortSignal;
  /** Called for each event; a returned promise is awaited. */
  readonly onEvent?: (event: TrainEvent) => void | Promise<void>;
  /** Called with progress before the first step. */
  readonly onProgress?: (progress: Preparation) => void;
  /** Called with remarks that are not errors, each a sentence. */
  readonly onNote?: (text: string) => void;
}

/** The options that are not settings. */
const OWN: Readonly<Record<Exclude<keyof TrainOptions, keyof TrainSettings> | "live" | "precision", true>> = {
  data: true,
  output: true,
  tokenizer: true,
  field: true,
  chatTemplate: true,
  labels: true,
  learn: true,
  pack: true,
  model: true,
  set: true,
  weights: true,
  resume: true,
  live: true,
  precision: true,
  device: true,
  tunings: true,
  tensorboard: true,
  signal: true,
  onEvent: true,
  onProgress: true,
  onNote: true,
};

/**
 * Trains to the last step and returns the result. `path` is a `.mod` file, the folder of a Hugging Face checkpoint, a
 * GGUF file, or a run, whose weights and parameters the training begins with; null takes the source stored in the
 * resumed run. Throws SourceError for errors of the source, TrainError, CheckpointError, SessionError, WeightsError,
 * and what `openDevice` throws; saved checkpoints stay.
 */
export async function train(path: string | null, options: TrainOptions): Promise<TrainResult> {
  if (typeof options !== "object" || options === null)
    throw new TrainError("bad-option", "train needs options", {
      hint: 'call train("model.mod", { data: "text.txt", output: "run" })',
    });
  const strange = Object.keys(options).find((key) => !Object.hasOwn(OWN, key) && !Object.hasOwn(trainOptions, key));
  if (strange !== undefined)
    throw new TrainError("bad-option", `there is no option ${strange}`, {
      hint: `there are ${[...Object.keys(OWN), ...Object.keys(trainOptions)].join(", ")}`,
    });
  const resume =
    options.resume === undefined || options.resume === false ? null : options.resume === true ? "last" : options.resume;
  const kept = resume === null ? null : await before(options.output, resume === "last" ? null : resume);
  if (kept !== null && options.weights !== undefined)
    throw new TrainError("bad-option", "`weights` contradicts `resume`: a resumed run has its own weights");
  if (path === null) return trained(askedFor(null, options, kept), options, resume);
  return closing(await openModel(path, options), (model) => trained(askedFor(model, options, kept), options, resume));
}

async function trained(asked: Asked, options: TrainOptions, resume: "last" | number | null): Promise<TrainResult> {
  const { choice } = asked;
  const { model } = trainingModel(asked.text, choice);
  const settings = settingsIn(options);
  const starting = await openStartingWeights(model, asked.weights, resume === null ? settings : {});
  const outcome = new Outcome();
  const { signal, onProgress, onNote } = options;
  try {
    if (starting.note !== null) onNote?.(starting.note);
    const events = trainModel({
      model: model.run,
      ...asked.data,
      output: options.output,
      tensorboard: options.tensorboard ?? false,
      settings,
      usualContext: usualContext(model.bound),
      resume,
      base: starting.base,
      createTrainer: (settings, kept, resumed) => {
        checkAgainst(settings, model);
        const { device = {}, tunings = (_device, own) => own } = options;
        const told = { onProgress: onProgress ?? (() => undefined), onNote: onNote ?? (() => undefined) };
        return openTrainer(
          {
            text: asked.text,
            choice,
            device,
            tunings,
            weights: resumed ?? starting.weights,
            kept,
            rules: model.run.rules,
            signal,
            ...told,
          },
          settings,
        );
      },
      initialValues: starting.value,
      ...(signal && { signal }),
      onProgress: (_stage, done, total) => onProgress?.({ kind: "text", done, total }),
    });
    for await (const event of events) {
      outcome.add(event);
      await options.onEvent?.(event);
    }
  } finally {
    await starting.close();
  }
  return outcome.result(options.output);
}

interface Asked {
  readonly text: ModelSource;
  readonly choice: { readonly model?: string | undefined; readonly set: Readonly<Record<string, string>> };
  readonly data: DataOptions;
  readonly weights: ModelWeights | null;
}

/** The options, completed from the model and the resumed run; `kept` is null for a new run. */
function askedFor(opened: OpenedModel | null, options: TrainOptions, kept: Before | null): Asked {
  const fail = (message: string): never => {
    throw new TrainError("bad-option", message);
  };
  const run = opened?.model ?? null;
  if (run !== null && options.model !== undefined && options.model !== run)
    fail(`${opened!.path} is a run of ${run}, not of ${options.model}`);
  const begun = kept?.manifest.begun ?? null;
  const data = options.data ?? begun?.data ?? fail("`data`, the data to train on, is missing");
  const tokenizer = opened?.tokenizer ?? options.tokenizer ?? begun?.tokenizer ?? null;
  const set = Object.entries(options.set ?? {}).map(([name, value]) => [name, String(value)]);
  return {
    text: opened ?? (kept ? keptText(kept) : fail("give the model: only a resumed run knows its model")),
    choice: {
      model: options.model ?? opened?.model ?? kept?.manifest.model,
      // any name is allowed
      set: withDense(
        Object.assign(Object.create(null) as Record<string, string>, opened?.set, begun?.set, Object.fromEntries(set)),
        options.dense ?? kept?.manifest.settings["dense"] === true,
      ),
    },
    data: { data, ...(tokenizer === null ? {} : { tokenizer }), ...recordSettings(options, begun) },
    weights: kept === null ? (opened?.weights ?? null) : null,
  };
}

/** The source stored in a checkpoint, under its original paths. */
export function keptText({ sources }: Before): ModelSource {
  const [modelSource, ...imported] = sources;
  if (!modelSource)
    throw new TrainError("bad-checkpoint", "the checkpoint does not contain the source of its model", {
      hint: "give the model's file",
    });
  const texts = new Map(imported.map(({ path, text }) => [path, text]));
  return {
    source: { file: modelSource.path, text: modelSource.text },
    read: (path) => texts.get(path) ?? texts.get(`./${path}`) ?? null,
  };
}

/** The settings among the options. */
function settingsIn({ live, precision, ...options }: TrainOptions): Partial<TrainSettings> {
  const given = Object.entries(options).filter(
    ([name, value]) => Object.hasOwn(trainOptions, name) && value !== undefined,
  );
  const lines = live && Object.entries(live).map(([name, value]) => `${name}=${value}`);
  // `withDefaults` checks the types
  return {
    ...(Object.fromEntries(given) as Partial<TrainSettings>),
    ...(lines && { live: lines.join("\n") }),
    ...(precision?.weights !== undefined && { precision: precision.weights }),
    ...(precision?.products !== undefined && { products: precision.products }),
  };
}
