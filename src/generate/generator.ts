// A model that generates, on a device: prompts are read in chunks, then tokens are added a step at a time, several steps ahead of what the host has heard.
import type { Generation } from "../program/generation.js";
import { type Device, InputError, load, type Results, type Session } from "../runtime/index.js";
import { SAMPLING_COLUMNS } from "../size/sampling.js";
import { Capacity } from "./capacity.js";
import { checkOptions, checkPrompts, type Limits } from "./check.js";
import { samplingTables, type SamplingTables } from "./options.js";
import { layersOn, summarise, Timing } from "./summary.js";
import type { Finish, GeneratedToken, GenerateOptions, GeneratorOptions, Summary, WeightsInput } from "./types.js";

/**
 * Puts a compiled generation and its weights on a device. Both programs read the same weights and the same caches. Throws what `load` throws, and InputError for an option
 * that is none.
 */
export async function createGenerator(generation: Generation, device: Device, weights?: WeightsInput, options: GeneratorOptions = {}): Promise<Generator> {
  const limits = checkOptions(generation, options);
  const { batchAxis, tokenAxis, sequenceAxis } = generation;
  const max = { [batchAxis]: 1, [sequenceAxis]: 1, ...new Capacity(generation, 1, 1).extents };
  const { live, seed, signal, onProgress, weightsOf } = options;
  const shared = { ...(live && { live }), ...(seed !== undefined && { seed }), ...(signal && { signal }), ...(onProgress && { onProgress }) };
  const prompt = await load(generation.prompt, device, weights, { ...shared, ...(weightsOf && { weightsOf }), max: { ...max, [tokenAxis]: limits.chunk } });
  try {
    const step = await load(generation.step, device, weights, {
      ...shared,
      max: { ...max, [tokenAxis]: 1 },
      statesOf: prompt,
      weightsOf: prompt,
      inFlight: limits.ahead,
    });
    return new Generator(generation, { prompt, step }, limits);
  } catch (error) {
    prompt.dispose();
    throw error;
  }
}

/** A run that the device has. */
interface Pending {
  readonly lengths: Uint32Array;
  readonly results: Promise<Results>;
}

/** What one generation is asked for. */
interface Asked {
  readonly prompts: readonly ArrayLike<number>[];
  /** Tokens to be added to each, at most. */
  readonly most: readonly number[];
  readonly options: GenerateOptions;
  readonly sampling: SamplingTables;
}

export class Generator {
  readonly generation: Generation;
  readonly #prompt: Session;
  readonly #step: Session;
  readonly #limits: Limits;
  #busy = false;
  #summary: Summary | null = null;

  /** Use `createGenerator`. */
  constructor(generation: Generation, { prompt, step }: { readonly prompt: Session; readonly step: Session }, limits: Limits) {
    this.generation = generation;
    this.#prompt = prompt;
    this.#step = step;
    this.#limits = limits;
  }

  /** Of both sessions together. */
  get memory(): { readonly buffers: number; readonly bytes: number } {
    const [a, b] = [this.#prompt.memory, this.#step.memory];
    return { buffers: a.buffers + b.buffers, bytes: a.bytes + b.bytes };
  }

  /** Of the last generation that came to its end. */
  get summary(): Summary | null {
    return this.#summary;
  }

  /**
   * Continues each prompt, tokens in the order in which they are known; several sequences take turns. One generation at a time: another may begin when this one has ended, or its
   * iterator was left. Throws InputError for a prompt that is empty, holds what is no token or is longer than the context.
   */
  async *generate(prompts: readonly ArrayLike<number>[], options: GenerateOptions = {}): AsyncGenerator<GeneratedToken, Summary> {
    const most = checkPrompts(this.generation, prompts, options);
    const sampling = samplingTables(options.sampling ?? {}, prompts.length, this.generation.vocabulary);
    if (this.#busy) throw new InputError(null, "the generator is busy with another generation", "leave its iterator first, or make another generator");
    this.#busy = true;
    const run = new Run(this.generation, { prompt: this.#prompt, step: this.#step }, this.#limits, { prompts, most, options, sampling });
    try {
      yield* run.tokens();
      this.#summary = run.summary();
      return this.#summary;
    } finally {
      await run.end();
      this.#busy = false;
    }
  }

  dispose(): void {
    this.#step.dispose();
    this.#prompt.dispose();
  }
}

/** One generation. */
class Run {
  readonly #generation: Generation;
  readonly #prompt: Session;
  readonly #step: Session;
  readonly #limits: Limits;
  readonly #prompts: readonly ArrayLike<number>[];
  /** Tokens to be added to each sequence, at most. */
  readonly #most: readonly number[];
  readonly #options: GenerateOptions;
  readonly #sampling: SamplingTables;
  readonly #ends: ReadonlySet<number>;
  readonly #capacity: Capacity;
  readonly #timing = new Timing();
  readonly #pending: Pending[] = [];
  /** Of each sequence: tokens that were handed out, tokens that the device was asked for, and whether it has ended. */
  readonly #given: Uint32Array;
  readonly #asked: Uint32Array;
  readonly #ended: Uint8Array;
  readonly #outputs: readonly string[];
  /** By axis, of each sequence: the rows of its prompt. */
  #rowsRead: readonly (readonly number[])[] = [];

  constructor(
    generation: Generation,
    { prompt, step }: { readonly prompt: Session; readonly step: Session },
    limits: Limits,
    { prompts, most, options, sampling }: Asked,
  ) {
    this.#generation = generation;
    this.#prompt = prompt;
    this.#step = step;
    this.#limits = limits;
    this.#prompts = prompts;
    this.#most = most;
    this.#options = options;
    this.#sampling = sampling;
    this.#ends = new Set(options.ends);
    this.#capacity = new Capacity(generation, prompts.length, Math.max(...prompts.map((p, b) => p.length + most[b]! - 1)));
    this.#given = new Uint32Array(prompts.length);
    this.#asked = new Uint32Array(prompts.length);
    this.#ended = new Uint8Array(prompts.length);
    this.#outputs = ["token", "logprob", ...generation.axes.map((a) => a.count)];
  }

  async *tokens(): AsyncGenerator<GeneratedToken, void> {
    yield* this.#read();
    for (;;) {
      await this.#goAhead();
      const next = this.#pending.shift();
      if (!next) return;
      yield* this.#hear(next, await next.results);
    }
  }

  /** Reads the prompts, a chunk of each at a time; each sequence's first token comes with its last chunk. */
  async *#read(): AsyncGenerator<GeneratedToken, void> {
    const { batchAxis, input } = this.#generation;
    await this.#prompt.resetStates({ [batchAxis]: this.#prompts.length, ...this.#capacity.extents });
    const { settings, seeds, bias } = this.#generation.sampling;
    const tables = [[settings, this.#sampling.settings] as const, [seeds, this.#sampling.seeds] as const];
    const biases = this.#sampling.bias ? [[bias, this.#sampling.bias] as const] : [];
    await this.#prompt.writeStates(new Map([...tables, ...biases].map(([name, data]) => [name, { data }])));
    const longest = Math.max(...this.#prompts.map((p) => p.length));
    const first: { readonly token: number; readonly logprob: number; readonly depth: number | null }[] = [];
    for (let from = 0; from < longest; from += this.#limits.chunk) {
      this.#options.signal?.throwIfAborted();
      const lengths = Uint32Array.from(this.#prompts, (p) => Math.max(0, Math.min(this.#limits.chunk, p.length - from)));
      if (!this.#capacity.fits(lengths)) await this.#grow(lengths);
      const width = lengths.reduce((a, b) => Math.max(a, b), 0);
      const data = new Uint32Array(this.#prompts.length * width);
      this.#prompts.forEach((p, b) => {
        for (let i = 0; i < lengths[b]!; i++) data[b * width + i] = p[from + i]!;
      });
      this.#capacity.give(lengths);
      const results = await this.#prompt.run({ [input]: { data, shape: [this.#prompts.length, width] } }, { ...this.#asks(), lengths });
      const depths = this.#depths(results);
      this.#capacity.hear(lengths, this.#counts(results));
      lengths.forEach((n, b) => {
        if (n > 0) first[b] = { token: results["token"]!.data[b]!, logprob: results["logprob"]!.data[b]!, depth: n === 1 ? depths[b]! : null };
      });
    }
    this.#timing.first();
    this.#rowsRead = this.#generation.axes.map((_, i) => [...this.#capacity.known(i)]);
    for (const [b, { token, logprob, depth }] of first.entries()) {
      this.#asked[b] = 1;
      yield this.#token(b, token, logprob, depth);
    }
  }

  /** Hands steps to the device, as many as may be under way. */
  async #goAhead(): Promise<void> {
    while (this.#pending.length < this.#limits.ahead) {
      this.#options.signal?.throwIfAborted();
      const lengths = Uint32Array.from(this.#prompts, (_, b) => Number(!this.#ended[b] && this.#asked[b]! < this.#most[b]!));
      if (!lengths.includes(1)) return;
      if (!this.#capacity.fits(lengths)) {
        // What is under way may have taken less than it might have.
        if (this.#pending.length > 0) return;
        await this.#grow(lengths);
      }
      const { batchAxis, tokenAxis } = this.#generation;
      const asks = this.#asks();
      const results = this.#step.run({}, { ...asks, extents: { ...asks.extents, [batchAxis]: this.#prompts.length, [tokenAxis]: 1 }, lengths });
      results.catch(() => {}); // whoever hears of it, or ends the run, has it
      this.#pending.push({ lengths, results });
      this.#capacity.give(lengths);
      lengths.forEach((n, b) => (this.#asked[b]! += n));
    }
  }

  *#hear({ lengths }: Pending, results: Results): Iterable<GeneratedToken> {
    const depths = this.#depths(results);
    this.#capacity.hear(lengths, this.#counts(results));
    for (const [b, n] of lengths.entries())
      if (n > 0 && !this.#ended[b]) yield this.#token(b, results["token"]!.data[b]!, results["logprob"]!.data[b]!, depths[b]!);
    this.#timing.token();
  }

  #token(sequence: number, token: number, logprob: number, depth: number | null): GeneratedToken {
    const index = this.#given[sequence]!++;
    const last = index + 1 === this.#most[sequence];
    const full = last && (this.#options.maxTokens === undefined || index + 1 < this.#options.maxTokens);
    const finish: Finish | null = this.#ends.has(token) ? "end" : this.#options.until?.(sequence, token) ? "stop" : full ? "context" : last ? "length" : null;
    if (finish !== null) this.#ended[sequence] = 1;
    const asked = this.#sampling.settings[sequence * SAMPLING_COLUMNS.length + SAMPLING_COLUMNS.indexOf("logProbability")] === 1;
    return { sequence, index, token, logprob: asked ? logprob : null, depth, finish };
  }

  /** What is asked of every run. */
  #asks(): { readonly outputs: readonly string[]; readonly extents: Readonly<Record<string, number>> } {
    return { outputs: this.#outputs, extents: { [this.#generation.sequenceAxis]: 1, ...this.#capacity.extents } };
  }
  #counts(results: Results): readonly ArrayLike<number>[] {
    return this.#generation.axes.map((a) => results[a.count]!.data);
  }
  /** Of each sequence: the layers that computed what a run of one token gave it. */
  #depths(results: Results): readonly number[] {
    const counts = this.#counts(results);
    const layers = layersOn(this.#generation);
    return this.#prompts.map((_, b) => counts.reduce((sum, rows, i) => sum + (rows[b]! > this.#capacity.known(i)[b]! ? layers[i]! : 0), 0));
  }

  async #grow(lengths: Uint32Array): Promise<void> {
    this.#capacity.grow(lengths);
    await this.#prompt.growStates(this.#capacity.extents);
  }

  /** Waits for what is under way. */
  async end(): Promise<void> {
    await Promise.allSettled(this.#pending.map((p) => p.results));
  }

  summary(): Summary {
    const prompts = this.#prompts.map((p) => p.length);
    return summarise(this.#generation, { prompts, read: this.#rowsRead, given: this.#given, capacity: this.#capacity, timing: this.#timing });
  }
}
