// Opens a model to generate: a `.mod` file or a checkpoint's folder, its weights, its tokenizer, a device. Node only.
import { join } from "node:path";
import { errnoOf, reasonOf } from "../base/errno.js";
import type { Read } from "../check/names/files.js";
import { generationModel } from "../compile-generation.js";
import type { SourceFile } from "../diagnostics/span.js";
import { createGenerator, type Generation, type GeneratorOptions } from "../generate/index.js";
import { checkpointFiles } from "../huggingface/files-node.js";
import { checkpointSource, checkpointText } from "../huggingface/folder-node.js";
import { NO_DEFAULTS } from "../huggingface/generation.js";
import { asProgramWeight } from "../program/program.js";
import type { Precision } from "../program/target.js";
import { Device, openDevice, type OpenDeviceOptions, type WeightsInput } from "../runtime/index.js";
import { WeightsError } from "../runtime/errors.js";
import { readRegular } from "../runtime/regular-node.js";
import { expectFittingWeights } from "../runtime/weights.js";
import type { Tunings } from "../schedule/tunings/index.js";
import { bytesTokenizer } from "../tokenizer/tokenizer.js";
import { isFolder } from "../tokenizer/folder-node.js";
import { openTokenizer } from "../tokenizer/tokenizer-node.js";
import { SessionError, SourceError } from "./errors.js";
import { importsBeside } from "./imports-node.js";
import { MODEL } from "./manifest.js";
import { openTrained, trainedTokenizer, trainedWeights, type Trained } from "./trained-node.js";
import { TextSession, type SessionTexts } from "./session.js";

export interface OpenSessionOptions extends GeneratorOptions {
  /**
   * A run's folder too. By default those of the folder, where the model is one; a file without weights begins with
   * those of `seed`, which have learned nothing.
   */
  readonly weights?: WeightsInput;
  /**
   * A `tokenizer.json`, or the folder of one. By default that of the folder, where the model is one; else each byte is
   * a token.
   */
  readonly tokenizer?: string;
  /** Which model, where the file declares several. */
  readonly model?: string;
  /** Parameters of the model: `{ depth: 12 }`. */
  readonly set?: Readonly<Record<string, string | number | boolean>>;
  /** The types of weights and activations in memory. Default f32. */
  readonly precision?: Precision;
  /** One that is open, or which to open. By default the best there is. */
  readonly device?: Device | OpenDeviceOptions;
  /** For the device that was opened; by default those of its class. */
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

/** A model's text, how what it imports is read, and how its texts are. */
export interface SessionSource {
  readonly source: SourceFile;
  readonly read: Read;
  readonly texts: Omit<SessionTexts, "tokenizer"> & { readonly tokenizer: SessionTexts["tokenizer"] | null };
  /** Null: starting ones. */
  readonly weights: WeightsInput | null;
}

/**
 * Opens a `.mod` file, a folder as Hugging Face stores a checkpoint, or what `train` wrote: a run's folder, which is
 * its best checkpoint, or one of them. Throws SourceError for errors of the source, GenerationError for a model that is
 * none of one token after another, CheckpointError, TokenizerError, SessionError, and what `createGenerator` and
 * `openDevice` throw.
 */
export async function openSession(path: string, options: OpenSessionOptions = {}): Promise<TextSession> {
  const trained = openTrained(path);
  if (trained !== null) return openRun(trained, options);
  const folder = isFolder(path);
  const source = folder ? checkpointSource(path) : { file: path, text: readText(path) };
  const texts = await sessionTexts(path, options.tokenizer ?? null);
  const weights = trainedWeights(options.weights) ?? (folder ? checkpointFiles(path).weights : null);
  return explaining({ source, read: importsBeside(source.file, readText), texts, weights }, options);
}

/** A checkpoint has the text, the parameters and the tokenizer that it was trained with. */
async function openRun(trained: Trained, options: OpenSessionOptions): Promise<TextSession> {
  const { manifest, path, read, set, source } = trained;
  if (options.model !== undefined && options.model !== manifest.model)
    throw new SessionError(`${path} is of ${manifest.model}, not of ${options.model}`);
  const texts = await sessionTexts(path, trainedTokenizer(trained, options.tokenizer ?? null));
  const weights = trainedWeights(options.weights) ?? join(path, MODEL);
  return explaining(
    { source, read, texts, weights },
    { ...options, model: manifest.model, set: { ...set, ...options.set } },
  );
}

/** A session; where its weights do not fit, with the parameter that explains it. */
async function explaining(given: SessionSource, options: OpenSessionOptions): Promise<TextSession> {
  try {
    return await createSession(given, options);
  } catch (fault) {
    if (!(fault instanceof WeightsError) || fault.tensors === null) throw fault;
    const { explainWeights, explanation } = await import("./explain-weights.js");
    const set = Object.fromEntries(Object.entries(options.set ?? {}).map(([name, value]) => [name, String(value)]));
    const found = explainWeights({ ...given, model: options.model, set }, fault.tensors);
    throw found
      ? new WeightsError(fault.message, { hint: explanation(found).text, cause: fault, tensors: fault.tensors })
      : fault;
  }
}

/**
 * How texts of a model are read: by the tokenizer that is named, else by its folder's, else by none. Throws
 * CheckpointError and TokenizerError.
 */
export async function sessionTexts(path: string, tokenizer: string | null): Promise<SessionSource["texts"]> {
  const own = isFolder(path) ? await checkpointText(path) : null;
  const defaults = own?.generation ?? NO_DEFAULTS;
  if (tokenizer === null) return { tokenizer: own?.tokenizer ?? null, chat: own?.chat ?? null, defaults };
  const opened = await openTokenizer(tokenizer);
  const ends = opened.end === null ? [] : [opened.end];
  return {
    tokenizer: opened.tokenizer,
    chat: opened.chat,
    defaults: { ...defaults, ends: defaults.ends.length > 0 ? defaults.ends : ends },
  };
}

/** Compiles a model for a device and puts it there. Throws as `openSession` does. */
export async function createSession(
  { source, read, texts, weights }: SessionSource,
  options: OpenSessionOptions = {},
): Promise<TextSession> {
  const strange = Object.keys(options).find((key) => !Object.hasOwn(OPTIONS, key));
  if (strange !== undefined)
    throw new SessionError(`there is no option ${strange}`, { hint: `there are ${Object.keys(OPTIONS).join(", ")}` });
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
  const tokenizer = texts.tokenizer ?? bytesFor(graphs.vocabulary);
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

/** Without a tokenizer a model is one of bytes. */
function bytesFor(vocabulary: number): SessionTexts["tokenizer"] {
  if (vocabulary === bytesTokenizer.vocabulary) return bytesTokenizer;
  throw new SessionError(`the model has ${vocabulary} tokens and no tokenizer: only one of 256 reads bytes`, {
    hint: "name the tokenizer.json that it was trained with",
  });
}

const MOST_BYTES = 64 * 1024 * 1024;

/** Text in UTF-8; a byte-order mark is dropped. Throws SessionError. */
export function readText(path: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(
      readRegular(path, MOST_BYTES, (size) => new SessionError(`${path} has ${size} bytes: no source is so large`)),
    );
  } catch (cause) {
    if (cause instanceof SessionError) throw cause;
    const code = errnoOf(cause);
    // as Node's errors have it
    const undecoded = (cause as NodeJS.ErrnoException).code === "ERR_ENCODING_INVALID_ENCODED_DATA";
    const reason = code !== null ? reasonOf(code) : undecoded ? "it is not UTF-8 text" : String(cause);
    throw new SessionError(`cannot read ${path}: ${reason}`, { cause });
  }
}
