// Opens a model to generate: a `.mod` file or a checkpoint, its weights, its tokenizer, a device. Node only.
import { errnoOf, reasonOf } from "../base/errno.js";
import type { Read } from "../check/names/files.js";
import { generationModel } from "../compile-generation.js";
import type { SourceFile } from "../diagnostics/span.js";
import { createGenerator, type Generation, type GeneratorOptions } from "../generate/index.js";
import { checkpointFiles, isCheckpoint } from "../huggingface/files-node.js";
import { checkpointSource, checkpointText } from "../huggingface/folder-node.js";
import { NO_DEFAULTS } from "../huggingface/generation.js";
import { asProgramWeight } from "../program/program.js";
import type { Precision } from "../program/target.js";
import { Device, openDevice, type OpenDeviceOptions, type WeightsInput } from "../runtime/index.js";
import { WeightsError } from "../runtime/errors.js";
import { isGgufPath } from "../runtime/gguf/header-node.js";
import { readRegular } from "../runtime/regular-node.js";
import { expectFittingWeights } from "../runtime/weights.js";
import type { Tunings } from "../schedule/tunings/index.js";
import { bytesTokenizer } from "../tokenizer/tokenizer.js";
import { openTokenizer } from "../tokenizer/tokenizer-node.js";
import { SessionError, SourceError } from "./errors.js";
import { importsBeside } from "./imports-node.js";
import { openTrained, trainedTokenizer, trainedWeights, type Trained } from "./trained-node.js";
import { TextSession, type SessionTexts } from "./session.js";

export interface OpenSessionOptions extends GeneratorOptions {
  /**
   * Weights, or the folder of a training run. By default the weights of the model's folder or GGUF file; for a `.mod`
   * file random initial weights from `seed`.
   */
  readonly weights?: WeightsInput;
  /**
   * A `tokenizer.json`, its folder, or a GGUF file. By default the tokenizer of the model's folder or GGUF file; else
   * one token per byte.
   */
  readonly tokenizer?: string;
  /** The name of the model, if the file declares several. */
  readonly model?: string;
  /** Parameters of the model: `{ depth: 12 }`. */
  readonly set?: Readonly<Record<string, string | number | boolean>>;
  /** The types of weights and activations in memory. Default f32. */
  readonly precision?: Precision;
  /** An open device, or options for opening one. By default the best available. */
  readonly device?: Device | OpenDeviceOptions;
  /** The tunings for a device; by default those of its class. */
  readonly tunings?: (device: Device) => Tunings | null;
}

const OPTIONS: Readonly<Record<keyof OpenSessionOptions, true>> = {
  weights: true,
  tokenizer: true,
  model: true,
  set: true,
  precision: true,
  device: true,
  tunings: true,
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

/** A model's source, the function that reads its imports, its text codec and its weights. */
export interface SessionSource {
  readonly source: SourceFile;
  readonly read: Read;
  readonly texts: Omit<SessionTexts, "tokenizer"> & { readonly tokenizer: SessionTexts["tokenizer"] | null };
  /** Null: random initial weights. */
  readonly weights: WeightsInput | null;
}

/**
 * Opens a `.mod` file, a Hugging Face checkpoint folder, a GGUF file, or the output of `train`: a run's folder, which
 * means its best checkpoint, or one of its checkpoints. Throws SourceError for errors of the source, GenerationError
 * for a model that is not autoregressive, CheckpointError, TokenizerError, SessionError, and what `createGenerator` and
 * `openDevice` throw.
 */
export async function openSession(path: string, options: OpenSessionOptions = {}): Promise<TextSession> {
  const trained = openTrained(path);
  if (trained !== null) return openRun(trained, options);
  const folder = isCheckpoint(path);
  const source = folder ? checkpointSource(path) : { file: path, text: readText(path) };
  const texts = await sessionTexts(path, options.tokenizer ?? null);
  const weights = trainedWeights(options.weights) ?? (folder ? checkpointFiles(path).weights : null);
  return createExplained({ source, read: importsBeside(source.file, readText), texts, weights }, options);
}

/** Opens a training checkpoint with the source, the parameters and the tokenizer of its run. */
async function openRun(trained: Trained, options: OpenSessionOptions): Promise<TextSession> {
  const { manifest, path, read, set, source } = trained;
  if (options.model !== undefined && options.model !== manifest.model)
    throw new SessionError(`${path} is of ${manifest.model}, not of ${options.model}`);
  const texts = await sessionTexts(path, trainedTokenizer(trained, options.tokenizer ?? null));
  const weights = trainedWeights(options.weights) ?? path;
  return createExplained(
    { source, read, texts, weights },
    { ...options, model: manifest.model, set: { ...set, ...options.set } },
  );
}

/** Creates a session; if the weights do not fit, the error states the parameters that would make them fit. */
async function createExplained(sessionSource: SessionSource, options: OpenSessionOptions): Promise<TextSession> {
  try {
    return await createSession(sessionSource, options);
  } catch (fault) {
    if (!(fault instanceof WeightsError) || fault.tensors === null) throw fault;
    const { explainWeights, explanation } = await import("./explain-weights.js");
    const set = Object.fromEntries(Object.entries(options.set ?? {}).map(([name, value]) => [name, String(value)]));
    const found = explainWeights({ ...sessionSource, model: options.model, set }, fault.tensors);
    throw found
      ? new WeightsError(fault.message, { hint: explanation(found).text, cause: fault, tensors: fault.tensors })
      : fault;
  }
}

/**
 * The tokenizer, chat template and defaults of a model: the tokenizer at the path `tokenizer`, else that of the model's
 * folder, else none. Throws CheckpointError and TokenizerError.
 */
export async function sessionTexts(path: string, tokenizer: string | null): Promise<SessionSource["texts"]> {
  // A GGUF file says nothing of texts but by its tokenizer, which may be one that modc does not read.
  const checkpoint =
    isCheckpoint(path) && !(tokenizer !== null && isGgufPath(path)) ? await checkpointText(path) : null;
  const defaults = checkpoint?.generation ?? NO_DEFAULTS;
  if (tokenizer === null) return { tokenizer: checkpoint?.tokenizer ?? null, chat: checkpoint?.chat ?? null, defaults };
  const opened = await openTokenizer(tokenizer);
  return {
    tokenizer: opened.tokenizer,
    chat: opened.chat,
    defaults: { ...defaults, ends: defaults.ends.length > 0 ? defaults.ends : opened.ends },
  };
}

/** Compiles a model for a device and loads it. Throws as `openSession` does. */
export async function createSession(
  { source, read, texts, weights }: SessionSource,
  options: OpenSessionOptions = {},
): Promise<TextSession> {
  const unknownOption = Object.keys(options).find((key) => !Object.hasOwn(OPTIONS, key));
  if (unknownOption !== undefined)
    throw new SessionError(`there is no option ${unknownOption}`, {
      hint: `there are ${Object.keys(OPTIONS).join(", ")}`,
    });
  const { set, model: name, precision, device: wanted = {}, tunings, ...rest } = options;
  const compiled = generationModel(source.text, {
    file: source.file,
    read,
    ...(set && { set }),
    ...(name !== undefined && { model: name }),
    ...(precision !== undefined && { precision }),
  });
  const { forTarget, graphs, model, diagnostics, sources } = compiled;
  if (!forTarget || !graphs || !model) throw new SourceError(diagnostics, sources);
  const tokenizer = texts.tokenizer ?? byteTokenizerFor(graphs.vocabulary);
  await expectFittingWeights(
    { weights: model.weights.map((weight) => asProgramWeight(weight)), ignore: model.ignore },
    weights,
  );
  const device = wanted instanceof Device ? wanted : await openDevice(wanted);
  const close = (): void => {
    if (device !== wanted) device.destroy();
  };
  const generationFor = (on: Device): Generation => forTarget(on.target, tunings?.(on) ?? undefined);
  const another = async (): Promise<{ readonly device: Device; readonly generation: Generation }> => {
    const opened = await openDevice(wanted instanceof Device ? {} : wanted);
    return { device: opened, generation: generationFor(opened) };
  };
  try {
    const generator = await createGenerator(generationFor(device), device, weights ?? undefined, {
      recover: another,
      ...rest,
      seed: rest.seed ?? 0, // as `weights` says of none
    });
    return new TextSession({
      name: model.name,
      texts: { ...texts, tokenizer },
      diagnostics,
      sources,
      generator,
      close,
    });
  } catch (fault) {
    close();
    throw fault;
  }
}

/** The tokenizer of a model without one: a token per byte. */
function byteTokenizerFor(vocabulary: number): SessionTexts["tokenizer"] {
  if (vocabulary === bytesTokenizer.vocabulary) return bytesTokenizer;
  throw new SessionError(`the model has ${vocabulary} tokens and no tokenizer: only one of 256 reads bytes`, {
    hint: "name the tokenizer.json that it was trained with",
  });
}

const MAX_BYTES = 64 * 1024 * 1024;

/** Reads UTF-8 text, without its byte-order mark. Throws SessionError. */
export function readText(path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(
      readRegular(path, MAX_BYTES, (size) => new SessionError(`${path} has ${size} bytes: no source is so large`)),
    );
  } catch (cause) {
    if (cause instanceof SessionError) throw cause;
    const code = errnoOf(cause);
    // Node's errors have a `code`
    const undecoded = (cause as NodeJS.ErrnoException).code === "ERR_ENCODING_INVALID_ENCODED_DATA";
    const reason = code !== null ? reasonOf(code) : undecoded ? "it is not UTF-8 text" : String(cause);
    throw new SessionError(`cannot read ${path}: ${reason}`, { cause });
  }
}
