// The API of a built model: loads its package onto a device, runs it and generates.
import { ContiguousCaches } from "../engine/caches/contiguous.js";
import { generateText, type GeneratedText, type GenerateTextOptions } from "../generate/text.js";
import type { Summary } from "../types.js";
import type { Words } from "../../ground/base/dtype.js";
import { expectOptions } from "../engine/check.js";
import type { BaseGenerator } from "../generate/base.js";
import { isChat, promptsOf, withDefaults, type Prompt, type Prompts } from "../generate/prompts.js";
import type { ProgramWeight } from "../../runtime/program/program.js";
import { openDevice, type Device } from "../../runtime/device/device.js";
import { InputError, UnsupportedError, type DeviceLostError } from "../../runtime/device/errors.js";
import type { LiveValue } from "../../runtime/run/extents.js";
import type { Inputs } from "../../runtime/run/inputs.js";
import type { Results } from "../../runtime/run/outputs.js";
import type { RunOptions, SessionEvent } from "../../runtime/run/session-options.js";
import { load as loadSession } from "../../runtime/run/load.js";
import type { Session } from "../../runtime/run/session.js";
import type { CacheOptions, FileCache } from "./cache.js";
import { readFile, readManifest, textOf, type FileOptions, type Places } from "./files.js";
import { DEFAULTS, PROGRAMS, TOKENIZER_FILES, type Manifest } from "./manifest.js";
import { readPrograms, type Programs } from "./programs.js";
import { shardedWeights, valuesIn } from "./shards.js";
import { type EnginePart, openShared } from "./text-generator.js";
import { openText, type OpenedText, type TokenizerPart } from "./text.js";

/** The progress of loading: bytes of files, kernels compiled, weights on the device. */
export interface LoadProgress {
  readonly stage: "download" | "kernels" | "weights";
  readonly done: number;
  readonly total: number;
}

export interface LoadModelOptions {
  /**
   * Your own device. By default the best there is: through `navigator.gpu` in a page, through the package `webgpu` in
   * Node.
   */
  readonly device?: GPUDevice;
  /**
   * For a package with activations in f16, in Node on a GPU: that its driver computes 16-bit floats right, as `modc
   * doctor` tests. Default: a page asks for them, Node on a software device alone.
   */
  readonly f16?: boolean;
  /** What to load the model for. Default: both, if the model can generate. */
  readonly use?: "run" | "generate";
  /** Extents of axes for which buffers of `run` are allocated, such as `{ B: 1, T: 256 }`; a larger run grows them. */
  readonly max?: Readonly<Record<string, number>>;
  readonly live?: Readonly<Record<string, LiveValue>>;
  /** Whether to run the model once on zeros before `load` resolves, so that no call waits for kernels. Default false. */
  readonly warm?: boolean;
  /** Whether a browser keeps the weights for the next load, with a limit. Default false. */
  readonly cache?: boolean | CacheOptions;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
}

export type ModelGenerateOptions = GenerateTextOptions;

/** A model on a device. */
export interface LoadedModel {
  /** Runs it once: inputs and results by name. */
  run(inputs: Inputs, options?: RunOptions): Promise<Results>;
  /**
   * Continues a prompt, or each of several; yields tokens as they are generated. Calls take turns, in their order, or
   * share an engine if the package was built for several callers.
   */
  generate(prompt: Prompts, options?: ModelGenerateOptions): AsyncGenerator<GeneratedText, Summary>;
  /** The name of the device. */
  readonly device: string;
  /** Resolves when the device is gone, after which `run` and `generate` reject with the same error: load again. */
  readonly lost: Promise<DeviceLostError>;
  /** Frees everything it holds on the device, and the device where `load` opened it. */
  dispose(): void;
}

export interface PackagedModel {
  readonly name: string;
  load(options?: LoadModelOptions): Promise<LoadedModel>;
}

/** Import the parts of the runtime that a package has. */
export interface ModelParts {
  readonly tokenizer?: () => Promise<TokenizerPart>;
  readonly engine?: () => Promise<EnginePart>;
}

/** `places`: the locations of the package's files. */
export function createModel(name: string, places: Places, parts: ModelParts = {}): PackagedModel {
  return { name, load: (options = {}) => load(places, parts, options) };
}

const OPTIONS: readonly string[] = [
  "device",
  "f16",
  "use",
  "max",
  "live",
  "warm",
  "cache",
  "signal",
  "onProgress",
] satisfies readonly (keyof LoadModelOptions)[];

async function load(
  places: Places,
  { tokenizer, engine }: ModelParts,
  options: LoadModelOptions,
): Promise<LoadedModel> {
  expectOptions(options);
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown !== undefined)
    throw new InputError(unknown, `load has no option ${unknown}`, `it has ${OPTIONS.join(", ")}`);
  const { signal, live, use } = options;
  signal?.throwIfAborted();
  if (use !== undefined && use !== "run" && use !== "generate")
    throw new InputError("use", `use is ${String(use)}, not "run" or "generate"`);
  const report = options.onProgress ?? (() => {});
  // Open the device first: without one nothing needs to be downloaded.
  const device = await openDevice(options.device ? { device: options.device } : { f16: options.f16 === true });
  try {
    const { manifest, programs, read, files } = await open(places, options, report);
    const { generation, maxBatch = 1 } = programs;
    if (use === "generate" && generation === null) throw doesNotGenerate();
    const text =
      generation && use !== "run" ? await openText(manifest, generation.vocabulary, files, tokenizer ?? null) : null;
    const source = shardedWeights(manifest, read);
    const weights = (weight: ProgramWeight): Promise<Words> => valuesIn(source, weight);
    const shared = {
      ...(live && { live }),
      ...(signal && { signal }),
      onProgress: (event: SessionEvent) =>
        void (event.kind !== "grow" && report({ stage: event.kind, done: event.done, total: event.total })),
    };
    const session =
      use === "generate"
        ? null
        : await loadSession(programs.run, device, weights, { ...shared, ...(options.max && { max: options.max }) });
    const own = { ...shared, ...(session && { weightsOf: session }) };
    const generator: BaseGenerator | null =
      !generation || use === "run"
        ? null
        : generation.pages && engine
          ? await (await engine()).openBatch(generation, device, weights, maxBatch, own)
          : await openShared(generation, device, weights, new ContiguousCaches(generation), own);
    await source.close();
    if (options.warm) {
      const { warm } = await import("./warm.js");
      await warm({ session, run: programs.run, max: options.max ?? {}, generator, maxBatch, signal });
    }
    return new Loaded({ device, session, generator, text, generates: generation !== null });
  } catch (error) {
    device.destroy(); // and all buffers of sessions on it
    throw error;
  }
}

const doesNotGenerate = (): UnsupportedError =>
  new UnsupportedError("the model does not generate", "call run, its only use");

interface Parts {
  readonly device: Device;
  /** Null if the model is not loaded for `run`. */
  readonly session: Session | null;
  /** Null, like `text`, if the model is not loaded for `generate`. */
  readonly generator: BaseGenerator | null;
  readonly text: OpenedText | null;
  /** Whether the package has programs for generation. */
  readonly generates: boolean;
}

class Loaded implements LoadedModel {
  readonly device: string;
  readonly lost: Promise<DeviceLostError>;
  readonly #parts: Parts;

  constructor(parts: Parts) {
    this.device = parts.device.info.name;
    this.lost = parts.device.lost;
    this.#parts = parts;
  }

  async run(inputs: Inputs, options?: RunOptions): Promise<Results> {
    const { session } = this.#parts;
    if (!session) throw new UnsupportedError('the model was loaded with use: "generate"', "load it without `use`");
    return session.run(inputs, options);
  }

  async *generate(asked: Prompts, options: ModelGenerateOptions = {}): AsyncGenerator<GeneratedText, Summary> {
    const { generator, text: opened, generates } = this.#parts;
    if (!generates) throw doesNotGenerate();
    if (!generator || !opened)
      throw new UnsupportedError('the model was loaded with use: "run"', "load it without `use`");
    const { text, defaults } = opened;
    expectOptions(options);
    const prompts = promptsOf(asked).map((prompt) => this.#tokens(prompt));
    const maxTokens = options.maxTokens ?? defaults.maxTokens;
    return yield* generateText(generator, text, prompts, {
      ends: defaults.ends,
      ...options,
      sampling: withDefaults(defaults.sampling, options.sampling),
      ...(maxTokens !== null && { maxTokens }),
    });
  }

  #tokens(prompt: Prompt): string | ArrayLike<number> {
    if (!isChat(prompt)) return prompt;
    const chat = this.#parts.text?.text.chat;
    if (!chat) throw new InputError("prompt", "the package has no chat template", "give a text, or tokens as numbers");
    return chat(prompt);
  }

  dispose(): void {
    const { generator, session, device } = this.#parts;
    generator?.dispose();
    session?.dispose();
    device.destroy();
  }
}

const openFiles = async (manifest: Manifest, options: CacheOptions): Promise<FileCache | null> =>
  (await import("./cache.js")).openCache(manifest, options);

interface Opened {
  readonly manifest: Manifest;
  readonly programs: Programs;
  /** Returns the bytes of a file after checking its hash. */
  readonly read: (name: string) => Promise<Uint8Array>;
  readonly files: FileOptions;
}

async function open(
  places: Places,
  { signal, cache }: LoadModelOptions,
  report: (progress: LoadProgress) => void,
): Promise<Opened> {
  const came = new Map<string, number>();
  let total = 0;
  const files: FileOptions = {
    places,
    signal,
    progress(file, bytes) {
      came.set(file, bytes);
      if (total > 0) report({ stage: "download", done: [...came.values()].reduce((a, b) => a + b, 0), total });
    },
  };
  const manifest = await readManifest(files);
  const weightFiles = { ...files, cache: cache ? await openFiles(manifest, cache === true ? {} : cache) : null };
  came.clear();
  const text = await readFile(manifest, PROGRAMS, files);
  const kernels = new Map<string, Promise<string>>();
  const others = new Set<string>([...manifest.shards, PROGRAMS, DEFAULTS, ...Object.values(TOKENIZER_FILES)]);
  total = manifest.files.reduce(
    (sum, { name, bytes }) => (others.has(name) || name.endsWith(".wgsl") ? sum + bytes : sum),
    0,
  );
  const read = async (name: string): Promise<Uint8Array> => {
    const bytes = await readFile(manifest, name, weightFiles);
    files.progress(name, bytes.length);
    return bytes;
  };
  files.progress(PROGRAMS, text.length);
  const kernel = (name: string): Promise<string> => {
    let found = kernels.get(name);
    if (!found) kernels.set(name, (found = read(name).then((bytes) => textOf(name, bytes))));
    return found;
  };
  return { manifest, programs: await readPrograms(textOf(PROGRAMS, text), kernel), read, files };
}
