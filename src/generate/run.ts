// One generation: prompts are read in chunks, then tokens are added a step at a time, several steps ahead of what the
// host has heard.
import { DeviceLostError, type Results, type RunOptions } from "../runtime/index.js";
import { SAMPLING_COLUMNS } from "../size/sampling.js";
import { Capacity } from "./capacity.js";
import type { Limits } from "./check.js";
import type { SamplingTables } from "./options.js";
import type { Place } from "./place.js";
import { positionsOn } from "./positions.js";
import { layersOn, summarise, Timing } from "./summary.js";
import type { Finish, GeneratedToken, GenerateOptions, Summary } from "./types.js";

/** A run that the device has. */
interface Pending {
  readonly lengths: Uint32Array;
  readonly results: Promise<Results>;
}

/** What one generation is asked for. */
export interface GenerationRequest {
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

/** Another place for one whose device was lost; `recovered` is told how many tokens were read again there. */
export type GoElsewhere = (
  lost: DeviceLostError,
) => Promise<{ readonly place: Place; readonly recovered: (tokens: number) => void }>;

/** One generation. */
export class Run {
  #place: Place;
  readonly #goElsewhere: GoElsewhere;
  readonly #limits: Limits;
  readonly #prompts: readonly ArrayLike<number>[];
  /** Tokens to be added to each sequence, at most. */
  readonly #most: readonly number[];
  readonly #options: GenerateOptions;
  readonly #sampling: SamplingTables;
  readonly #ends: ReadonlySet<number>;
  #capacity: Capacity;
  /** In places that were lost. */
  #compiledBefore = 0;
  readonly #timing: Timing;
  readonly #pending: Pending[] = [];
  /** Of each sequence: the tokens that were handed out, how many the device was asked for, and whether it has ended. */
  readonly #generated: readonly number[][];
  readonly #requested: Uint32Array;
  readonly #ended: Uint8Array;
  /** Of each sequence that has ended: by axis, its rows then. Steps that were under way go on to compute it. */
  readonly #rowsAtEnd: (readonly number[] | undefined)[];
  readonly #outputs: readonly string[];
  readonly #layers: readonly number[];
  /** By axis, of each sequence: the rows of its prompt. */
  #rowsRead: readonly (readonly number[])[] = [];

  constructor(
    place: Place,
    limits: Limits,
    { prompts, most, options, sampling }: GenerationRequest,
    goElsewhere: GoElsewhere,
  ) {
    this.#place = place;
    // Of another place, after a device was lost, what is compiled there counts from nothing.
    this.#timing = new Timing(() => this.#compiledBefore + this.#place.prompt.compiling + this.#place.step.compiling);
    this.#goElsewhere = goElsewhere;
    this.#limits = limits;
    this.#prompts = prompts;
    this.#most = most;
    this.#options = options;
    this.#sampling = sampling;
    this.#ends = new Set(options.ends);
    this.#capacity = this.#newCapacity();
    this.#generated = prompts.map(() => []);
    this.#requested = new Uint32Array(prompts.length);
    this.#ended = new Uint8Array(prompts.length);
    this.#rowsAtEnd = prompts.map(() => undefined);
    this.#layers = layersOn(place.generation);
    this.#outputs = ["token", "logprob", place.generation.counts];
  }

  #newCapacity(): Capacity {
    const longest = Math.max(...this.#prompts.map((p, b) => p.length + this.#most[b]! - 1));
    return new Capacity(this.#place.generation, this.#prompts.length, longest);
  }

  async *tokens(): AsyncGenerator<GeneratedToken, void> {
    let recovered: ((tokens: number) => void) | null = null;
    for (let before = -1; ;) {
      try {
        yield* this.#read(recovered);
        for (;;) {
          await this.#dispatchAhead();
          const next = this.#pending.shift();
          if (!next) return;
          yield* this.#receive(next, await next.results);
        }
      } catch (fault) {
        const said = this.#generated.reduce((n, tokens) => n + tokens.length, 0);
        // Two devices that were lost with no token between them: a third would be too.
        if (!(fault instanceof DeviceLostError) || said === before) throw fault;
        before = said;
        await this.end();
        const elsewhere = await this.#goElsewhere(fault);
        this.#compiledBefore += this.#place.prompt.compiling + this.#place.step.compiling;
        this.#place = elsewhere.place;
        recovered = elsewhere.recovered;
        this.#pending.length = 0;
        this.#capacity = this.#newCapacity();
      }
    }
  }

  /**
   * Reads what there is of each text, a chunk of each at a time: the prompts, and what was said before a device was
   * lost. Each sequence's next token comes with its last chunk.
   */
  async *#read(recovered: ((tokens: number) => void) | null): AsyncGenerator<GeneratedToken, void> {
    const { generation, prompt } = this.#place;
    await prompt.resetStates({ [generation.batchAxis]: this.#prompts.length, ...this.#capacity.extents });
    const { settings, seeds, bias } = generation.sampling;
    const tables = [[settings, this.#sampling.settings] as const, [seeds, this.#sampling.seeds] as const];
    const biases = this.#sampling.bias ? [[bias, this.#sampling.bias] as const] : [];
    await prompt.writeStates(new Map([...tables, ...biases].map(([name, data]) => [name, { data }])));
    const texts = this.#prompts.map((p, b) => this.#textOf(p, b));
    const at = new Uint32Array(texts.length);
    const next: Chosen[] = [];
    for (;;) {
      this.#options.signal?.throwIfAborted();
      const lengths = Uint32Array.from(texts, (t, b) =>
        this.#chunkOf(t.length - at[b]!, this.#generated[b]!.length > 0),
      );
      if (lengths.every((n) => n === 0)) break;
      if (!this.#capacity.fits(lengths)) await this.#grow(lengths);
      const width = lengths.reduce((a, b) => Math.max(a, b), 0);
      const data = new Uint32Array(texts.length * width);
      texts.forEach((t, b) => {
        for (let i = 0; i < lengths[b]!; i++) data[b * width + i] = t[at[b]! + i]!;
      });
      this.#capacity.give(lengths);
      const results = await prompt.run(
        { [generation.input]: { data, shape: [texts.length, width] } },
        { ...this.#runOptions(), lengths },
      );
      const routes = this.#routes(results);
      this.#capacity.record(lengths, this.#counts(results));
      lengths.forEach((n, b) => {
        if (n > 0) next[b] = chosen(results, b, n === 1 ? routes[b]! : null);
        at[b]! += n;
      });
    }
    if (this.#rowsRead.length === 0) {
      this.#timing.first();
      this.#rowsRead = generation.axes.map((_, i) => [...this.#capacity.known(i)]);
    }
    recovered?.(at.reduce((a, b) => a + b, 0));
    for (const [b, choice] of next.entries()) {
      if (this.#ended[b]) continue;
      this.#requested[b] = this.#generated[b]!.length + 1;
      yield this.#token(b, choice);
    }
  }

  /** The tokens of a sequence so far; the last one of a text that has ended need not be read. */
  #textOf(prompt: ArrayLike<number>, sequence: number): ArrayLike<number> {
    const said = this.#generated[sequence]!;
    return said.length === 0 ? prompt : [...Array.from(prompt), ...(this.#ended[sequence] ? said.slice(0, -1) : said)];
  }
  /**
   * How many of so many tokens are read at once. The last one that was said is read by itself, as it was before, so
   * that it is known which routes it took.
   */
  #chunkOf(left: number, said: boolean): number {
    return Math.min(this.#limits.chunk, said && left > 1 ? left - 1 : left);
  }

  /** Hands steps to the device, as many as may be under way. */
  async #dispatchAhead(): Promise<void> {
    while (this.#pending.length < this.#limits.ahead) {
      this.#options.signal?.throwIfAborted();
      const lengths = Uint32Array.from(this.#prompts, (_, b) =>
        Number(!this.#ended[b] && this.#requested[b]! < this.#most[b]!),
      );
      if (!lengths.includes(1)) return;
      if (!this.#capacity.fits(lengths)) {
        // What is under way may have taken less than it might have.
        if (this.#pending.length > 0) return;
        await this.#grow(lengths);
      }
      const { batchAxis, tokenAxis } = this.#place.generation;
      const asks = this.#runOptions();
      const results = this.#place.step.run(
        {},
        { ...asks, extents: { ...asks.extents, [batchAxis]: this.#prompts.length, [tokenAxis]: 1 }, lengths },
      );
      results.catch(() => {}); // whoever hears of it, or ends the run, has it
      this.#pending.push({ lengths, results });
      this.#capacity.give(lengths);
      lengths.forEach((n, b) => (this.#requested[b]! += n));
    }
  }

  *#receive({ lengths }: Pending, results: Results): Iterable<GeneratedToken> {
    const routes = this.#routes(results);
    this.#capacity.record(lengths, this.#counts(results));
    for (const [b, n] of lengths.entries())
      if (n > 0 && !this.#ended[b]) yield this.#token(b, chosen(results, b, routes[b]!));
    this.#timing.token();
  }

  #token(sequence: number, { token, logprob, routes }: Chosen): GeneratedToken {
    const index = this.#generated[sequence]!.push(token) - 1;
    const last = index + 1 === this.#most[sequence];
    const full = last && (this.#options.maxTokens === undefined || index + 1 < this.#options.maxTokens);
    const finish: Finish | null = this.#ends.has(token)
      ? "end"
      : this.#options.until?.(sequence, token)
        ? "stop"
        : full
          ? "context"
          : last
            ? "length"
            : null;
    if (finish !== null) {
      this.#ended[sequence] = 1;
      this.#rowsAtEnd[sequence] = this.#place.generation.axes.map((_, i) => this.#capacity.known(i)[sequence]!);
    }
    const asked =
      this.#sampling.settings[sequence * SAMPLING_COLUMNS.length + SAMPLING_COLUMNS.indexOf("logProbability")] === 1;
    const depth = routes && routes.reduce((sum, taken, i) => sum + (taken ? this.#layers[i]! : 0), 0);
    return { sequence, index, token, logprob: asked || Number.isNaN(logprob) ? logprob : null, depth, routes, finish };
  }

  /** What is asked of every run. */
  #runOptions(): Pick<RunOptions, "outputs" | "extents" | "promises"> {
    const extents = { [this.#place.generation.sequenceAxis]: 1, ...this.#capacity.extents };
    return { outputs: this.#outputs, extents, promises: this.#sampling.greedy ? ["greedy"] : [] };
  }
  #counts(results: Results): readonly ArrayLike<number>[] {
    const { axes, counts } = this.#place.generation;
    const { data } = results[counts]!;
    const batch = this.#prompts.length;
    return axes.map((_, i) => data.subarray(i * batch, (i + 1) * batch));
  }
  /** Of each sequence: whether its token of a run took each axis. */
  #routes(results: Results): readonly (readonly boolean[])[] {
    const counts = this.#counts(results);
    return this.#prompts.map((_, b) => counts.map((rows, i) => rows[b]! > this.#capacity.known(i)[b]!));
  }

  async #grow(lengths: Uint32Array): Promise<void> {
    this.#capacity.grow(lengths);
    await this.#place.prompt.growStates(this.#capacity.extents);
  }

  /** The rows of each sequence on an axis, as far as its text goes. */
  #rows(axis: number): readonly number[] {
    return Array.from(this.#capacity.known(axis), (rows, b) => this.#rowsAtEnd[b]?.[axis] ?? rows);
  }

  /** By axis, of each sequence, the positions of its rows; null where they are not kept. */
  taken(): Promise<readonly (readonly Uint32Array[] | null)[]> {
    return positionsOn(this.#place, (axis) => this.#rows(axis));
  }

  /** Waits for what is under way. */
  async end(): Promise<void> {
    await Promise.allSettled(this.#pending.map((p) => p.results));
  }

  summary(): Summary {
    const prompts = this.#prompts.map((p) => p.length);
    return summarise(this.#place.generation, {
      prompts,
      read: this.#rowsRead,
      given: this.#generated.map((tokens) => tokens.length),
      rows: this.#place.generation.axes.map((_, i) => this.#rows(i)),
      capacity: this.#capacity,
      timing: this.#timing,
    });
  }
}
