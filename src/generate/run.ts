// One generation: prompts are read in chunks, then tokens are added a step at a time, several steps ahead of what the host has heard.
import type { Generation } from "../program/generation.js";
import type { Results, Session } from "../runtime/index.js";
import { SAMPLING_COLUMNS } from "../size/sampling.js";
import { Capacity } from "./capacity.js";
import type { Limits } from "./check.js";
import type { SamplingTables } from "./options.js";
import { layersOn, summarise, Timing } from "./summary.js";
import type { Finish, GeneratedToken, GenerateOptions, Summary } from "./types.js";

/** A run that the device has. */
interface Pending {
  readonly lengths: Uint32Array;
  readonly results: Promise<Results>;
}

/** What one generation is asked for. */
export interface Asked {
  readonly prompts: readonly ArrayLike<number>[];
  /** Tokens to be added to each, at most. */
  readonly most: readonly number[];
  readonly options: GenerateOptions;
  readonly sampling: SamplingTables;
}

/** What a run chose for a sequence. */
interface Chosen {
  readonly token: number;
  readonly logprob: number;
  /** Whether the token before it took each axis; null where several were read. */
  readonly routes: readonly boolean[] | null;
}

const chosen = (results: Results, sequence: number, routes: Chosen["routes"]): Chosen => ({
  token: results["token"]!.data[sequence]!,
  logprob: results["logprob"]!.data[sequence]!,
  routes,
});

/** One generation. */
export class Run {
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
  readonly #layers: readonly number[];
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
    this.#layers = layersOn(generation);
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
    const first: Chosen[] = [];
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
      const routes = this.#routes(results);
      this.#capacity.hear(lengths, this.#counts(results));
      lengths.forEach((n, b) => {
        if (n > 0) first[b] = chosen(results, b, n === 1 ? routes[b]! : null);
      });
    }
    this.#timing.first();
    this.#rowsRead = this.#generation.axes.map((_, i) => [...this.#capacity.known(i)]);
    for (const [b, choice] of first.entries()) {
      this.#asked[b] = 1;
      yield this.#token(b, choice);
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
    const routes = this.#routes(results);
    this.#capacity.hear(lengths, this.#counts(results));
    for (const [b, n] of lengths.entries()) if (n > 0 && !this.#ended[b]) yield this.#token(b, chosen(results, b, routes[b]!));
    this.#timing.token();
  }

  #token(sequence: number, { token, logprob, routes }: Chosen): GeneratedToken {
    const index = this.#given[sequence]!++;
    const last = index + 1 === this.#most[sequence];
    const full = last && (this.#options.maxTokens === undefined || index + 1 < this.#options.maxTokens);
    const finish: Finish | null = this.#ends.has(token) ? "end" : this.#options.until?.(sequence, token) ? "stop" : full ? "context" : last ? "length" : null;
    if (finish !== null) this.#ended[sequence] = 1;
    const asked = this.#sampling.settings[sequence * SAMPLING_COLUMNS.length + SAMPLING_COLUMNS.indexOf("logProbability")] === 1;
    const depth = routes && routes.reduce((sum, taken, i) => sum + (taken ? this.#layers[i]! : 0), 0);
    return { sequence, index, token, logprob: asked || Number.isNaN(logprob) ? logprob : null, depth, routes, finish };
  }

  /** What is asked of every run. */
  #asks(): { readonly outputs: readonly string[]; readonly extents: Readonly<Record<string, number>> } {
    return { outputs: this.#outputs, extents: { [this.#generation.sequenceAxis]: 1, ...this.#capacity.extents } };
  }
  #counts(results: Results): readonly ArrayLike<number>[] {
    return this.#generation.axes.map((a) => results[a.count]!.data);
  }
  /** Of each sequence: whether its token of a run took each axis. */
  #routes(results: Results): readonly (readonly boolean[])[] {
    const counts = this.#counts(results);
    return this.#prompts.map((_, b) => counts.map((rows, i) => rows[b]! > this.#capacity.known(i)[b]!));
  }

  async #grow(lengths: Uint32Array): Promise<void> {
    this.#capacity.grow(lengths);
    await this.#prompt.growStates(this.#capacity.extents);
  }

  /** By axis, of each sequence, the positions of its rows; null where they are not kept. */
  async taken(): Promise<readonly (readonly Uint32Array[] | null)[]> {
    const { axes } = this.#generation;
    const values = await this.#prompt.readStates(axes.flatMap((a) => a.positions ?? []));
    return axes.map(({ positions, capacity }, i) => {
      const known = this.#capacity.known(i);
      if (i === 0) return Array.from(known, (rows) => Uint32Array.from({ length: rows }, (_, at) => at));
      if (positions === null || capacity === null) return null;
      const { data } = values.get(positions)!;
      const room = data.length / known.length;
      return Array.from(known, (rows, b) => Uint32Array.from(data.subarray(b * room, b * room + rows)));
    });
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
