// Opens a model to generate: a `.mod` file or a checkpoint, its weights, its tokenizer, a device. Node only.
import { errnoOf, reasonOf } from "../../ground/base/errno.js";
import { createGenerator, type GeneratorOptions } from "../../generation/generate/index.js";
import { checkpointFiles, isCheckpoint } from "../../models/families/files-node.js";
import { checkpointSource, checkpointText } from "../../models/families/folder-node.js";
import { NO_DEFAULTS } from "../../models/families/generation.js";
import type { WeightsInput } from "../../runtime/index.js";
import { WeightsError } from "../../runtime/device/errors.js";
import { isFarOff } from "../../runtime/weights/weights.js";
import { isGgufPath } from "../../runtime/weights/gguf/header-node.js";
import { readRegular } from "../../ground/files/regular-node.js";
import { openChatTemplate } from "../../models/tokenizer/chosen-template-node.js";
import { openTokenizer } from "../../models/tokenizer/tokenizer-node.js";
import { bytesTokenizer } from "../../models/tokenizer/tokenizer.js";
import { SessionError } from "../../models/errors.js";
import { importsBeside } from "../../models/opened/source-node.js";
import { trainedLive } from "../../models/opened/live.js";
import { prepare, type PrepareOptions, type SessionSource } from "./prepared-node.js";
import { openTrained, trainedTokenizer, trainedWeights, type Trained } from "../../models/runs/trained-node.js";
import { TextSession } from "./session.js";

/** What says which weights and which tokenizer a model has. */
export interface Opening {
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
  /**
   * A chat template in place of the tokenizer's own: a name such as `chatml` or `llama3`, or a file of Jinja text. By
   * default the template of the tokenizer's folder or GGUF file, if it has one.
   */
  readonly chatTemplate?: string;
}

export interface OpenSessionOptions extends GeneratorOptions, PrepareOptions, Opening {}

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
export async function openSession(path: string, given: OpenSessionOptions = {}): Promise<TextSession> {
  const [source, options] = await openSource(path, given);
  return explaining(source, options, () => createSession(source, options));
}

/**
 * Reads a model's source and texts. A run completes the options: its model and parameters if the path is the run, and
 * the values that its live parameters were trained to, also if only the weights are the run's. Weights in blocks stay
 * in blocks, unless `precision` is given.
 */
export async function openSource<O extends Opening & PrepareOptions>(
  path: string,
  given: O,
): Promise<readonly [SessionSource, O]> {
  const [source, options] = await readSource(path, given);
  if (options.precision !== undefined || typeof source.weights !== "string" || isFarOff(source.weights))
    return [source, options];
  const { blocksOf } = await import("../../models/opened/blocks.js");
  const { set, model } = options;
  const own = {
    file: source.source.file,
    read: source.read,
    ...(set && { set }),
    ...(model !== undefined && { model }),
  };
  const found = await blocksOf(source.weights, async () => ({ text: source.source.text, options: own }));
  return [source, found?.all ? { ...options, precision: { weights: found.form } } : options];
}

async function readSource<O extends Opening & PrepareOptions>(
  path: string,
  options: O,
): Promise<readonly [SessionSource, O]> {
  const trained = openTrained(path);
  if (trained !== null) return openRun(trained, options);
  const folder = isCheckpoint(path);
  const source = folder ? checkpointSource(path) : { file: path, text: readText(path) };
  const texts = await sessionTexts(path, options.tokenizer ?? null, options.chatTemplate);
  const weights = trainedWeights(options.weights) ?? (folder ? checkpointFiles(path).weights : null);
  const read = importsBeside(source.file, readText);
  const live = trainedLive(options.weights, { ...options, source, read });
  return [
    { source, read, texts, weights },
    { ...options, set: { ...live, ...options.set } },
  ];
}

/** Opens a training checkpoint with the source, the parameters and the tokenizer of its run. */
async function openRun<O extends Opening & PrepareOptions>(
  trained: Trained,
  options: O,
): Promise<readonly [SessionSource, O]> {
  const { manifest, path, read, set, source } = trained;
  if (options.model !== undefined && options.model !== manifest.model)
    throw new SessionError(`${path} is of ${manifest.model}, not of ${options.model}`);
  const texts = await sessionTexts(path, trainedTokenizer(trained, options.tokenizer ?? null), options.chatTemplate);
  const weights = trainedWeights(options.weights) ?? path;
  return [
    { source, read, texts, weights },
    { ...options, model: manifest.model, set: { ...set, ...options.set } },
  ];
}

/** Loads a model; if the weights do not fit, the error states the parameters that would make them fit. */
export async function explaining<T>(
  sessionSource: SessionSource,
  options: PrepareOptions,
  load: () => Promise<T>,
): Promise<T> {
  try {
    return await load();
  } catch (fault) {
    if (!(fault instanceof WeightsError) || fault.tensors === null) throw fault;
    const { explainWeights, explanation } = await import("../../models/opened/explain-weights.js");
    const set = Object.fromEntries(Object.entries(options.set ?? {}).map(([name, value]) => [name, String(value)]));
    const found = explainWeights({ ...sessionSource, model: options.model, set }, fault.tensors);
    throw found
      ? new WeightsError(fault.message, { hint: explanation(found).text, cause: fault, tensors: fault.tensors })
      : fault;
  }
}

/**
 * The tokenizer, chat template and defaults of a model: the tokenizer at the path `tokenizer`, else that of the model's
 * folder, else none; the template `chatTemplate`, else the tokenizer's. Throws CheckpointError and TokenizerError.
 */
export async function sessionTexts(
  path: string,
  tokenizer: string | null,
  chatTemplate?: string,
): Promise<SessionSource["texts"]> {
  const own = await ownTexts(path, tokenizer);
  if (chatTemplate === undefined) return own;
  const { chat, ends } = openChatTemplate(chatTemplate, own.tokenizer ?? bytesTokenizer, own.info);
  const { bos_token = null, eos_token = null, pad_token = null } = own.info ?? {};
  return {
    ...own,
    chat,
    info: { bos_token, eos_token, pad_token, chat_template: chat.text },
    defaults: { ...own.defaults, ends: [...new Set([...own.defaults.ends, ...ends])] },
  };
}

async function ownTexts(path: string, tokenizer: string | null): Promise<SessionSource["texts"]> {
  // A GGUF file says nothing of texts but by its tokenizer, which may be one that modc does not read.
  const checkpoint =
    isCheckpoint(path) && !(tokenizer !== null && isGgufPath(path)) ? await checkpointText(path) : null;
  const defaults = checkpoint?.generation ?? NO_DEFAULTS;
  if (tokenizer === null)
    return {
      tokenizer: checkpoint?.tokenizer ?? null,
      chat: checkpoint?.chat ?? null,
      info: checkpoint?.info ?? null,
      defaults,
    };
  const opened = await openTokenizer(tokenizer);
  return {
    tokenizer: opened.tokenizer,
    chat: opened.chat,
    info: opened.info,
    defaults: { ...defaults, ends: defaults.ends.length > 0 ? defaults.ends : opened.ends },
  };
}

/** Compiles a model for a device and loads it. Throws as `openSession` does. */
export async function createSession(source: SessionSource, options: OpenSessionOptions = {}): Promise<TextSession> {
  const unknownOption = Object.keys(options).find((key) => !Object.hasOwn(OPTIONS, key));
  if (unknownOption !== undefined)
    throw new SessionError(`there is no option ${unknownOption}`, {
      hint: `there are ${Object.keys(OPTIONS).join(", ")}`,
    });
  const { set: _set, model: _model, precision: _precision, device: _device, tunings: _tunings, ...others } = options;
  const { loopCaches: _loopCaches, ...rest } = others;
  const { name, texts, diagnostics, sources, device, generation, another, close } = await prepare(
    source,
    options,
    "rows",
  );
  try {
    const generator = await createGenerator(generation, device, source.weights ?? undefined, {
      recover: another,
      ...rest,
      seed: rest.seed ?? 0, // as `weights` says of none
    });
    return new TextSession({ name, texts, diagnostics, sources, generator, close });
  } catch (fault) {
    close();
    throw fault;
  }
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
