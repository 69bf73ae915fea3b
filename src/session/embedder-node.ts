// A model's pooled result as embeddings: one pass over whole texts, several at once. Node only.
import { compile, programFor } from "../compile.js";
import type { Program } from "../program/program.js";
import { type Device, DeviceLostError, DisposedError, load, type Session } from "../runtime/index.js";
import type { Embedder } from "../serve/options.js";
import type { PrepareOptions, SessionSource } from "./prepared-node.js";

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
  const found = program.outputs.filter(
    ({ role, dtype, shape }) =>
      role === "result" &&
      dtype === "f32" &&
      shape.length === 2 &&
      shape[0] === batch.name &&
      typeof shape[1] === "number",
  );
  const [output] = found;
  if (!output || found.length > 1) return null;
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
  { source, read }: SessionSource,
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
  const found = pooledOf(program);
  if (!found || !device) return found;
  return pooledOf(
    programFor({ graph, model: checked, sources }, device.target, tunings?.(device) ?? undefined, precision),
  );
}

/** Texts of a run, and tokens with those that fill them up: what a device holds at once, and a server waits for. */
const BATCH = 16;
const MOST_TOKENS = 4096;
/** Tokens that memory is set aside for at first. */
const USUAL_TOKENS = 512;

interface Loaded {
  readonly pooled: Pooled;
  readonly session: Session;
}

export class ModelEmbedder implements Embedder {
  readonly dimensions: number;
  readonly context: number | null;
  readonly #open: (lost: boolean) => Promise<Loaded>;
  /** null: the device was lost, and no other has been opened. */
  #loaded: Loaded | null;
  #disposed = false;
  /** Resolves when the runs before have ended. */
  #last: Promise<unknown> = Promise.resolve();

  private constructor(loaded: Loaded, open: (lost: boolean) => Promise<Loaded>) {
    this.dimensions = loaded.pooled.dimensions;
    this.context = loaded.pooled.context;
    this.#open = open;
    this.#loaded = loaded;
  }

  /** `deviceFor`: the device; `lost`: another in its place. */
  static async load(
    source: SessionSource,
    options: PrepareOptions & { readonly seed?: number },
    pooled: Pooled,
    deviceFor: (lost: boolean) => Promise<Device>,
  ): Promise<ModelEmbedder> {
    const open = async (lost: boolean): Promise<Loaded> => {
      const device = await deviceFor(lost);
      const own = (lost ? compilePooled(source, options, device) : null) ?? pooled;
      const max = { [own.batchAxis]: BATCH, [own.tokenAxis]: Math.min(own.context ?? USUAL_TOKENS, USUAL_TOKENS) };
      const session = await load(own.program, device, source.weights ?? undefined, { max, seed: options.seed ?? 0 });
      return { pooled: own, session };
    };
    return new ModelEmbedder(await open(false), open);
  }

  async embed(texts: readonly (readonly number[])[], signal: AbortSignal): Promise<readonly Float32Array[]> {
    const before = this.#last;
    const done = (async (): Promise<readonly Float32Array[]> => {
      await before;
      const vectors: Float32Array[] = [];
      for (let at = 0; at < texts.length;) {
        signal.throwIfAborted();
        if (this.#disposed) throw new DisposedError();
        const run = firstOf(texts, at);
        vectors.push(...(await this.#run(run)));
        at += run.length;
      }
      return vectors;
    })();
    this.#last = done.catch(() => {}); // told to whoever asked
    return done;
  }

  async #run(texts: readonly (readonly number[])[]): Promise<readonly Float32Array[]> {
    const loaded = (this.#loaded ??= await this.#open(true));
    try {
      return await pass(loaded, texts);
    } catch (fault) {
      if (!(fault instanceof DeviceLostError)) throw fault;
      loaded.session.dispose();
      this.#loaded = null; // where no other device opens, the next run tries again
      return pass((this.#loaded = await this.#open(true)), texts);
    }
  }

  /** Ends the run under way, if there is one, and those that wait. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#loaded?.session.dispose();
    await this.#last;
    this.#loaded?.session.dispose();
  }
}

/** The texts of a run from this one on, one at least. */
function firstOf(texts: readonly (readonly number[])[], from: number): readonly (readonly number[])[] {
  let [to, width] = [from, 0];
  for (; to < texts.length && to - from < BATCH; to++) {
    width = Math.max(width, texts[to]!.length);
    if (to > from && (to - from + 1) * width > MOST_TOKENS) break;
  }
  return texts.slice(from, to);
}

async function pass(
  { pooled, session }: Loaded,
  texts: readonly (readonly number[])[],
): Promise<readonly Float32Array[]> {
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
