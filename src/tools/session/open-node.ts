// Opens a model to generate: compiled for a device, with its weights and its tokenizer. Node only.
import { createGenerator, type GeneratorOptions } from "../../generation/generate/index.js";
import { SessionError } from "../../language/diagnostics/errors.js";
import type { OpenedModel } from "../../models/opened/model.js";
import { openModel } from "../../models/open-node.js";
import { WeightsError } from "../../runtime/device/errors.js";
import type { BlockWeights, WeightsInput } from "../../runtime/index.js";
import { prepare, type PrepareOptions } from "./prepared-node.js";
import { TextSession } from "./session.js";

/** The options that determine a model's weights and tokenizer. */
export interface Opening {
  /**
   * Weights, or the folder of a training run. By default the weights of the model's folder or GGUF file; for a `.mod`
   * file random initial weights from `seed`. Weights of several files: `{ teacher: path, student: path }`, by the paths
   * of blocks.
   */
  readonly weights?: WeightsInput | BlockWeights;
  /**
   * A `tokenizer.json`, its folder, or a GGUF file. By default the tokenizer of the model's folder or GGUF file; else
   * one token per byte.
   */
  readonly tokenizer?: string;
  /**
   * A chat template in place of the tokenizer's own: a name such as `chatml` or `llama3`, or a file of Jinja text. By
   * default the template that a run was trained with, else that of the tokenizer's folder or GGUF file, if it has one.
   */
  readonly chatTemplate?: string;
}

export interface OpenSessionOptions extends GeneratorOptions, PrepareOptions, Opening {
  /**
   * How caches are stored. rows: side by side, for one generation, the default without `draft`. pages: a prompt that
   * begins like earlier ones reads only what follows, tokens may be guessed (`draft`), and prompts may have scores
   * (`promptLogprobs`) and routes (`promptRoutes`).
   */
  readonly caches?: "rows" | "pages";
}

const OPTIONS: Readonly<Record<keyof OpenSessionOptions, true>> = {
  weights: true,
  tokenizer: true,
  chatTemplate: true,
  model: true,
  set: true,
  precision: true,
  device: true,
  tunings: true,
  loopCaches: true,
  latent: true,
  caches: true,
  maxBatch: true,
  cacheMemory: true,
  draft: true,
  chunk: true,
  ahead: true,
  live: true,
  seed: true,
  weightsOf: true,
  signal: true,
  onProgress: true,
  recover: true,
  onRecovered: true,
};

/**
 * Opens a `.mod` file, a Hugging Face checkpoint folder, a GGUF file, or the output of `train`: a checkpoint, or the
 * folder of a run, of which the best checkpoint is opened. The defaults of live parameters are the values that the run
 * was trained to. Throws SourceError for errors of the source, GenerationError for a model that is not autoregressive,
 * CheckpointError, TokenizerError, SessionError, and what `createGenerator` and `openDevice` throw.
 */
export const openSession = (path: string, given: OpenSessionOptions = {}): Promise<TextSession> =>
  opening(path, given, (model, options) =>
    createSession(model, options, () => void model.close().catch((fault: Error) => process.emitWarning(fault))),
  );

/**
 * Opens a model and calls `create` with it and its options. If that fails, the model is closed; if its weights do not
 * fit, the error states the parameters that would make them fit.
 */
export async function opening<O extends Opening & PrepareOptions, T>(
  path: string,
  given: O,
  create: (model: OpenedModel, options: O) => Promise<T>,
): Promise<T> {
  const model = await openModel(path, given);
  try {
    const options = await optionsOf(model, given);
    return await explaining(model, options, () => create(model, options));
  } catch (fault) {
    await model.close();
    throw fault;
  }
}

/**
 * Completes the options from a run: its model, its parameters, and the values that its live parameters were trained to.
 * Weights in blocks stay in blocks, unless `precision` is given. Throws SessionError for another model than the run's.
 */
export async function optionsOf<O extends PrepareOptions>(model: OpenedModel, given: O): Promise<O> {
  if (model.model !== null && given.model !== undefined && given.model !== model.model)
    throw new SessionError(`${model.path} is of ${model.model}, not of ${given.model}`);
  const options = {
    ...given,
    ...(model.model !== null && { model: model.model }),
    set: { ...model.set, ...given.set },
  };
  if (options.precision !== undefined) return options;
  const { blocksOf } = await import("../../models/opened/deferred-node.js");
  const blocks = await blocksOf(model, options);
  return blocks?.all ? { ...options, precision: { weights: blocks.form } } : options;
}

/** Loads a model; if the weights do not fit, the error states the parameters that would make them fit. */
export async function explaining<T>(
  { source, read }: Pick<OpenedModel, "source" | "read">,
  options: PrepareOptions,
  load: () => Promise<T>,
): Promise<T> {
  try {
    return await load();
  } catch (fault) {
    if (!(fault instanceof WeightsError) || fault.tensors === null) throw fault;
    const { explainWeights, explanation } = await import("../../models/opened/deferred-node.js");
    const set = Object.fromEntries(Object.entries(options.set ?? {}).map(([name, value]) => [name, String(value)]));
    const found = explainWeights({ source, read, model: options.model, set }, fault.tensors);
    throw found
      ? new WeightsError(fault.message, { hint: explanation(found).text, cause: fault, tensors: fault.tensors })
      : fault;
  }
}

/**
 * Compiles a model for a device and loads it. `closed` is called when the session is disposed. Throws as `openSession`
 * does.
 */
export async function createSession(
  model: OpenedModel,
  options: OpenSessionOptions = {},
  closed: () => void = () => {},
): Promise<TextSession> {
  const unknownOption = Object.keys(options).find((key) => !Object.hasOwn(OPTIONS, key));
  if (unknownOption !== undefined)
    throw new SessionError(`there is no option ${unknownOption}`, {
      hint: `there are ${Object.keys(OPTIONS).join(", ")}`,
    });
  const { set: _set, model: _model, precision: _precision, device: _device, tunings: _tunings, ...others } = options;
  const {
    loopCaches: _loopCaches,
    latent: _latent,
    weights: _weights,
    tokenizer: _tokenizer,
    chatTemplate: _template,
    caches = others.draft === "routes" ? "pages" : "rows",
    ...rest
  } = others;
  const prepared = await prepare(model, options, { caches, ...(rest.maxBatch === 1 && { slots: false }) });
  const { name, texts, diagnostics, sources, device, generation, weights, another, close } = prepared;
  try {
    const generator = await createGenerator(generation, device, weights, {
      recover: another,
      ...rest,
      seed: rest.seed ?? 0, // as `weights` says of none
    });
    const end = (): void => {
      close();
      closed();
    };
    return new TextSession({ name, texts, diagnostics, sources, generator, close: end });
  } catch (fault) {
    close();
    throw fault;
  }
}
