// A model's pooled result as embeddings: one pass over whole texts, several at once. Node only.
import { Retry } from "../../ground/base/retry.js";
import { compile, programFor } from "../../compiler/compile.js";
import type { EngineOptions, EngineState } from "../../generation/engine/index.js";
import { reporterOf, type Report } from "../../generation/engine/report.js";
import { noOtherDevice } from "../../generation/engine/errors.js";
import type { Program } from "../../runtime/program/program.js";
import {
  type Device,
  type DeviceLostError,
  DisposedError,
  InputError,
  load,
  type Session,
} from "../../runtime/index.js";
import type { OpenedModel } from "../../models/opened/model.js";
import type { Embedder } from "../serve/requests/options.js";
import { EmbeddingQueue, type Texts } from "./embedding-queue.js";
import type { PrepareOptions } from "./prepared-node.js";

/** The result f32[B, D] of a model that reads tokens u32[B, T]. */
export interface Pooled {
  readonly program: Program;
  readonly input: string;
  readonly output: string;
  readonly dimensions: number;
  readonly vocabulary: number;
  /** The most tokens of a text; null: no limit. */
  readonly context: number | null;
  readonly batchAxis: string;
  readonly tokenAxis: string;
}

/** Null where the model has no such result, or several. */
export function pooledOf(program: Program): Pooled | null {
  const [input, more] = program.inputs;
  const batch = program.axes.find(({ role }) => role === "batch");
  if (!input || more || !batch || input.packing?.tokenDim !== 1 || input.shape.length !== 2) return null;
  if ((input.dtype !== "u32" && input.dtype !== "i32") || input.below === null) return null;
  const tokens = program.axes.find(({ name }) => name === input.packing!.axis)!; // a program's own
  const pooled = program.outputs.filter(
    ({ role, dtype, shape }) =>
      role === "result" &&
      dtype === "f32" &&
      shape.length === 2 &&
      shape[0] === batch.name &&
      typeof shape[1] === "number",
  );
  const [output] = pooled;
  if (!output || pooled.length > 1) return null;
  return {
    program,
    input: input.name,
    output: output.name,
    dimensions: output.shape[1] as number, // as was asked above
    vocabulary: input.below,
    context: tokens.bound,
    batchAxis: batch.name,
    tokenAxis: tokens.name,
  };
}

/** Compiles the pass over whole texts for a device, by default for any; null where nothing is pooled. */
export function compilePooled(
  { source, read }: Pick<OpenedModel, "source" | "read">,
  { set, model, precision, tunings }: PrepareOptions,
  device?: Device,
): Pooled | null {
  const {
    program,
    graph,
    model: checked,
    sources,
  } = compile(source.text, {
    file: source.file,
    read,
    program: "infer",
    ...(set && { set }),
    ...(model !== undefined && { model }),
    ...(precision !== undefined && { precision }),
  });
  if (!program || !graph || !checked) return null;
  const pooling = pooledOf(program);
  if (!pooling || !device) return pooling;
  return pooledOf(
    programFor({ graph, model: checked, sources }, device.target, tunings?.(device) ?? undefined, precision),
  );
}

/** Tokens of a run with those that fill its texts up: what a device holds at once, and a server waits for. */
const MOST_TOKENS = 4096;
/** Tokens that memory is set aside for at first. */
const USUAL_TOKENS = 512;

interface Loaded {
  readonly pooled: Pooled;
  readonly session: Session;
}

export interface EmbedderOptions extends Pick<
  EngineOptions,
  "maxBatch" | "queue" | "seed" | "observer" | "signal" | "onProgress"
> {}

/** The device; `lost`: another in place of this one. */
type DeviceFor = (lost: DeviceLostError | null) => Promise<Device>;

export class ModelEmbedder implements Embedder {
  readonly dimensions: number;
  readonly context: number | null;
  readonly #open: (lost: DeviceLostError) => Promise<Loaded>;
  readonly #queue: EmbeddingQueue;
  readonly #report: Report;
  /** null: the device was lost, and no other has been opened. */
  #loaded: Loaded | null = null;
  #losses = 0;
  #lastLoss: DeviceLostError | null = null;
  /** Another device that is being opened. */
  #opening: Promise<Loaded> | null = null;
  readonly #retry = new Retry();
  #disposed = false;

  private constructor(loaded: Loaded, open: (lost: DeviceLostError) => Promise<Loaded>, options: EmbedderOptions) {
    this.dimensions = loaded.pooled.dimensions;
    this.context = loaded.pooled.context;
    this.#open = open;
    this.#report = reporterOf(options.observer ?? {});
    const limits = { ...limitsOf(options), tokens: MOST_TOKENS };
    this.#queue = new EmbeddingQueue((texts) => this.#run(texts), limits, options.observer ?? {});
    this.#has(loaded);
  }

  /** Throws InputError for an invalid option. */
  static async load(
    from: Pick<OpenedModel, "source" | "read" | "weights">,
    options: PrepareOptions & EmbedderOptions,
    pooled: Pooled,
    deviceFor: DeviceFor,
  ): Promise<ModelEmbedder> {
    const { maxBatch } = limitsOf(options);
    const { seed = 0, signal, onProgress } = options;
    const open = async (lost: DeviceLostError | null): Promise<Loaded> => {
      const device = await deviceFor(lost);
      const model = (lost ? compilePooled(from, options, device) : null) ?? pooled;
      const max = {
        [model.batchAxis]: Math.min(maxBatch, USUAL_BATCH),
        [model.tokenAxis]: Math.min(model.context ?? USUAL_TOKENS, USUAL_TOKENS),
      };
      try {
        const session = await load(model.program, device, await from.weights?.fitted(model.program), {
          max,
          seed,
          ...(!lost && { ...(signal && { signal }), ...(onProgress && { onProgress }) }),
        });
        return { pooled: model, session };
      } catch (fault) {
        if (lost) device.destroy();
        throw fault;
      }
    };
    return new ModelEmbedder(await open(null), open, options);
  }

  /** Texts of the run under way and those that wait; losses of the device, and whether there is one. */
  get state(): Pick<EngineState, "active" | "queued" | "lost" | "ready"> {
    const { active, queued } = this.#queue;
    return { active, queued, lost: this.#losses, ready: this.#loaded !== null };
  }

  /** Throws QueueFullError where as many texts wait as may. */
  async embed(texts: readonly (readonly number[])[], signal: AbortSignal): Promise<readonly Float32Array[]> {
    this.#expectAlive();
    return this.#queue.add(texts, signal);
  }

  async #run(texts: Texts): Promise<readonly Float32Array[]> {
    for (let first = true; ; first = false) {
      const loaded = this.#loaded ?? (await this.#another());
      this.#expectAlive();
      try {
        return await pass(loaded, texts);
      } catch (fault) {
        const loss = loaded.session.device.lostError;
        if (!loss || this.#disposed) throw fault;
        this.#lose(loaded, loss);
        if (!first) throw loss;
      }
    }
  }

  #has(loaded: Loaded): void {
    this.#loaded = loaded;
    this.#retry.stop();
    // A balancer sends no request to a server that is not ready: it would never become so by requests alone.
    void loaded.session.device.lost.then((loss) => this.#lose(loaded, loss));
  }

  #lose(loaded: Loaded, loss: DeviceLostError): void {
    if (this.#loaded !== loaded || this.#disposed) return;
    loaded.session.dispose();
    this.#loaded = null;
    this.#lastLoss = loss;
    this.#losses++;
    this.#report("deviceLost");
    if (loss.reason !== "destroyed") this.#tryLater();
  }

  #tryLater(): void {
    this.#retry.after(() => void (this.#loaded ?? this.#another().catch(() => {}))); // it is tried again
  }

  /** Opens another device; where none is to be had, each run tries again, and so does a timer. */
  #another(): Promise<Loaded> {
    return (this.#opening ??= this.#opened().finally(() => (this.#opening = null)));
  }

  async #opened(): Promise<Loaded> {
    const loss = this.#lastLoss!; // nothing else takes the device away
    try {
      const loaded = await this.#open(loss);
      if (this.#disposed) loaded.session.dispose();
      this.#expectAlive();
      this.#has(loaded);
      return loaded;
    } catch (cause) {
      if (!this.#disposed && cause !== loss) this.#tryLater();
      throw cause === loss || this.#disposed ? cause : noOtherDevice(loss, cause);
    }
  }

  #expectAlive(): void {
    if (this.#disposed) throw new DisposedError();
  }

  /** Ends the run under way, if there is one, and those that wait. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#retry.stop();
    this.#loaded?.session.dispose();
    await this.#queue.idle();
    await this.#opening?.catch(() => {}); // told to whoever asked
  }
}

/** The default limits of texts in a run and of waiting texts, equal to the defaults of an engine. */
const USUAL_BATCH = 16;
const USUAL_QUEUE = 256;

function limitsOf({ maxBatch = USUAL_BATCH, queue = USUAL_QUEUE }: EmbedderOptions): {
  readonly maxBatch: number;
  readonly queue: number;
} {
  const whole = (name: string, value: number, least: number, most: number): number => {
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    throw new InputError(name, `${name} is ${value}: it must be a whole number from ${least} to ${most}`);
  };
  return { maxBatch: whole("maxBatch", maxBatch, 1, 1024), queue: whole("queue", queue, 0, 1e6) };
}

async function pass({ pooled, session }: Loaded, texts: Texts): Promise<readonly Float32Array[]> {
  const width = Math.max(...texts.map((text) => text.length));
  const data = new Uint32Array(texts.length * width);
  texts.forEach((text, b) => data.set(text, b * width));
  const results = await session.run(
    { [pooled.input]: { data, shape: [texts.length, width] } },
    { lengths: texts.map((text) => text.length), outputs: [pooled.output] },
  );
  const values = results[pooled.output]!.data as Float32Array; // f32, as the program says
  return texts.map((_, b) => values.slice(b * pooled.dimensions, (b + 1) * pooled.dimensions));
}
