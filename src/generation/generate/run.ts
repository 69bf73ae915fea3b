// One generation: reads the prompts in chunks, then adds a token per step, with several steps in flight.
import { DeviceLostError, type Results, type RunOptions } from "../../runtime/index.js";
import { SAMPLING_COLUMNS } from "../../ground/numerics/sampling.js";
import type { Limits } from "../engine/check.js";
import type { Place } from "../engine/place.js";
import { layersOn } from "../engine/use.js";
import { constrainedBias } from "../sampling/constrained.js";
import type { SamplingTables } from "../sampling/options.js";
import type { Finish, GeneratedToken, GenerateOptions, Summary } from "../types.js";
import { Capacity } from "./capacity.js";
import { positionsOn } from "./positions.js";
import { summarise, Timing } from "./summary.js";

/** A submitted run. */
interface Pending {
  readonly lengths: Uint32Array;
  readonly results: Promise<Results>;
}

/** The request for a generation. */
export interface GenerationRequest {
  readonly prompts: readonly ArrayLike<number>[];
  /** The maximum number of generated tokens of each sequence. */
  readonly maxTokens: readonly number[];
  readonly options: GenerateOptions;
  readonly sampling: SamplingTables;
}

/** The token that a run chose for a sequence. */
interface ChosenToken {
  readonly token: number;
  readonly logprob: number;
  /** For each axis, whether the previous token took it; null if the run read several tokens. */
  readonly routes: readonly boolean[] | null;
}

const chosenToken = (results: Results, sequence: number, routes: ChosenToken["routes"]): ChosenToken => ({
  token: results["token"]!.data[sequence]!,
  logprob: results["logprob"]!.data[sequence]!,
  routes,
});

/**
 * Opens a replacement after the loss of a device; `recovered` is called with the number of tokens that were read again.
 */
export type OpenReplacement = (
  lost: DeviceLostError,
) => Promise<{ readonly place: Place; readonly recovered: (tokens: number) => void }>;

/** One generation. */
export class Run {
  #place: Place;
  readonly #openReplacement: OpenReplacement;
  readonly #limits: Limits;
  readonly #prompts: readonly ArrayLike<number>[];
  /** The maximum number of generated tokens of each sequence. */
  readonly #maxTokens: readonly number[];
  readonly #options: GenerateOptions;
  readonly #sampling: SamplingTables;
  readonly #ends: ReadonlySet<number>;
  #capacity: Capacity;
  /** Compile time on lost devices. */
  #compiledBefore = 0;
  readonly #timing: Timing;
  readonly #pending: Pending[] = [];
  /**
   * For each sequence: the generated tokens, how many tokens were requested from the device, and whether it has ended.
   */
  readonly #generated: readonly number[][];
  readonly #requested: Uint32Array;
  readonly #ended: Uint8Array;
  /** For each sequence that has ended, its rows by axis at that time: steps in flight still compute more. */
  readonly #rowsAtEnd: (readonly number[] | undefined)[];
  readonly #outputs: readonly string[];
  readonly #layers: readonly number[];
  /** By axis, the rows of each sequence's prompt. */
  #rowsRead: readonly (readonly number[])[] = [];

  constructor(
    place: Place,
    limits: Limits,
    { prompts, maxTokens, options, sampling }: GenerationRequest,
    openReplacement: OpenReplacement,
  ) {
    this.#place = place;
    // On a replacement device the compile times begin at zero.
    this.#timing = new Timing(() => this.#compiledBefore + this.#place.prompt.compiling + this.#place.step.compiling);
    this.#openReplacement = openReplacement;
    this.#limits = limits;
    this.#prompts = prompts;
    this.#maxTokens = maxTokens;
    this.#options = options;
    this.#sampling = sampling;
    this.#ends = new Set(options.ends);
    this.#capacity = this.#newCapacity();
    this.#generated = prompts.map(() => []);
    this.#requested = new Uint32Array(prompts.length);
    this.#ended = new Uint8Array(prompts.length);
    this.#rowsAtEnd = prompts.map(() => undefined);
    this.#layers = layersOn(place.generation);
    this.#outputs = ["token", "logprob", place.generation.counts, ...(options.observe?.outputs ?? [])];
  }

  #newCapacity(): Capacity {
    const longest = Math.max(...this.#prompts.map((p, b) => p.length + this.#maxTokens[b]! - 1));
    return new Capacity(this.#place.generation, this.#prompts.length, longest);
  }

  async *tokens(): AsyncGenerator<GeneratedToken, void> {
    let recovered: ((tokens: number) => void) | null = null;
    for (let countAtLoss = -1; ;) {
      try {
        yield* this.#read(recovered);
        for (;;) {
          await this.#dispatchAhead();
          const next = this.#pending.shift();
          if (!next) return;
          yield* this.#receive(next, await next.results);
        }
      } catch (fault) {
        const generatedCount = this.#generated.reduce((n, tokens) => n + tokens.length, 0);
        // Two losses without a token in between: a third device would be lost too.
        if (!(fault instanceof DeviceLostError) || generatedCount === countAtLoss) throw fault;
        countAtLoss = generatedCount;
        await this.end();
        const replacement = await this.#openReplacement(fault);
        this.#compiledBefore += this.#place.prompt.compiling + this.#place.step.compiling;
        this.#place = replacement.place;
        recovered = replacement.recovered;
        this.#pending.length = 0;
        this.#capacity = this.#newCapacity();
      }
    }
  }

  /**
   * Reads each text, a chunk of each per run: the prompts, and after the loss of a device the tokens generated before.
   * The last chunk of a sequence yields its next token.
   */
  async *#read(recovered: ((tokens: number) => void) | null): AsyncGenerator<GeneratedToken, void> {
    const { generation, prompt } = this.#place;
    await prompt.resetStates({ [generation.batchAxis]: this.#prompts.length, ...this.#capacity.extents });
    const { settings, seeds, bias } = generation.sampling;
    const tables = new Map([
      [settings, { data: this.#sampling.settings }],
      [seeds, { data: this.#sampling.seeds }],
    ]);
    const biases = this.#biases();
    if (biases) tables.set(bias, { data: biases });
    await prompt.writeStates(tables);
    const texts = this.#prompts.map((p, b) => this.#textOf(p, b));
    const at = new Uint32Array(texts.length);
    const next: ChosenToken[] = [];
    for (;;) {
      this.#options.signal?.throwIfAborted();
      const lengths = Uint32Array.from(texts, (t, b) => this.#chunkOf(b, t.length - at[b]!));
      if (lengths.every((n) => n === 0)) break;
      if (!this.#capacity.fits(lengths)) await this.#grow(lengths);
      const width = Math.max(...lengths);
      const data = new Uint32Array(texts.length * width);
      texts.forEach((t, b) => {
        for (let i = 0; i < lengths[b]!; i++) data[b * width + i] = t[at[b]! + i]!;
      });
      this.#capacity.submit(lengths);
      const results = await prompt.run(
        { [generation.input]: { data, shape: [texts.length, width] } },
        { ...this.#runOptions(), lengths },
      );
      const routes = this.#routes(results);
      this.#capacity.record(lengths, this.#counts(results));
      lengths.forEach((n, b) => {
        if (n > 0) next[b] = chosenToken(results, b, n === 1 ? routes[b]! : null);
        at[b]! += n;
      });
    }
    if (this.#rowsRead.length === 0) {
      this.#timing.first();
      this.#rowsRead = generation.axes.map((_, i) => [...this.#capacity.answeredRows(i)]);
    }
    recovered?.(at.reduce((a, b) => a + b, 0));
    for (const [b, choice] of next.entries()) {
      if (this.#ended[b]) continue;
      this.#requested[b] = this.#generated[b]!.length + 1;
      yield this.#token(b, choice);
    }
  }

  /** The tokens of a sequence so far; without the last token of an ended text, which need not be read. */
  #textOf(prompt: ArrayLike<number>, sequence: number): ArrayLike<number> {
    const generated = this.#generated[sequence]!;
    return generated.length === 0
      ? prompt
      : [...Array.from(prompt), ...(this.#ended[sequence] ? generated.slice(0, -1) : generated)];
  }
  /**
   * The size of the next chunk. The last generated token is read by itself, as it was before the loss, so that its
   * routes are known. With caches of the last loop alone so is each, and the prompt is read at once.
   */
  #chunkOf(sequence: number, left: number): number {
    const generated = this.#generated[sequence]!.length;
    if (this.#place.generation.loopCaches) {
      const after = generated - (this.#ended[sequence] ? 1 : 0);
      return left > after ? left - after : Math.min(1, left);
    }
    return Math.min(this.#limits.chunk, generated > 0 && left > 1 ? left - 1 : left);
  }

  /** Biases of all sequences, [sequences, vocabulary], with what constraints allow next; null if there are none. */
  #biases(): Float32Array | null {
    const { bias } = this.#sampling;
    const { constraints } = this.#options;
    if (!constraints) return bias;
    const { vocabulary } = this.#place.generation;
    const all = new Float32Array(constraints.length * vocabulary);
    for (const [b, constraint] of constraints.entries()) {
      if (this.#ended[b]) continue;
      const own = bias && bias.subarray(b * vocabulary, (b + 1) * vocabulary);
      all.set(constrainedBias(constraint.next(), this.#ends, own, vocabulary), b * vocabulary);
    }
    return all;
  }

  /** Submits steps up to the limit on steps in flight. With constraints the limit is one. */
  async #dispatchAhead(): Promise<void> {
    const { constraints } = this.#options;
    while (this.#pending.length < (constraints ? 1 : this.#limits.ahead)) {
      this.#options.signal?.throwIfAborted();
      const lengths = Uint32Array.from(this.#prompts, (_, b) =>
        Number(!this.#ended[b] && this.#requested[b]! < this.#maxTokens[b]!),
      );
      if (!lengths.includes(1)) return;
      if (!this.#capacity.fits(lengths)) {
        // Wait for the steps in flight: they may have used fewer rows than assumed.
        if (this.#pending.length > 0) return;
        await this.#grow(lengths);
      }
      const { batchAxis, tokenAxis, sampling } = this.#place.generation;
      // The prompt's run chose by the biases that were written before it.
      if (constraints) await this.#place.prompt.writeStates(new Map([[sampling.bias, { data: this.#biases()! }]]));
      const runOptions = this.#runOptions();
      const results = this.#place.step.run(
        {},
        {
          ...runOptions,
          extents: { ...runOptions.extents, [batchAxis]: this.#prompts.length, [tokenAxis]: 1 },
          lengths,
        },
      );
      results.catch(() => {}); // reported by the reader of `#pending`
      this.#pending.push({ lengths, results });
      this.#capacity.submit(lengths);
      lengths.forEach((n, b) => (this.#requested[b]! += n));
    }
  }

  *#receive({ lengths }: Pending, results: Results): Iterable<GeneratedToken> {
    const routes = this.#routes(results);
    this.#capacity.record(lengths, this.#counts(results));
    for (const [b, n] of lengths.entries())
      if (n > 0 && !this.#ended[b]) yield this.#token(b, chosenToken(results, b, routes[b]!));
    this.#timing.token();
  }

  #token(sequence: number, { token, logprob, routes }: ChosenToken): GeneratedToken {
    const index = this.#generated[sequence]!.push(token) - 1;
    const last = index + 1 === this.#maxTokens[sequence];
    // Fewer than were asked for.
    const full = last && index + 1 !== this.#options.maxTokens;
    const finish: Finish | null = this.#ends.has(token)
      ? "end"
      : this.#stopsWith(sequence, token)
        ? "stop"
        : full
          ? "context"
          : last
            ? "length"
            : null;
    if (finish !== null) {
      this.#ended[sequence] = 1;
      this.#rowsAtEnd[sequence] = this.#place.generation.axes.map((_, i) => this.#capacity.answeredRows(i)[sequence]!);
    }
    const wantsLogProbability =
      this.#sampling.settings[sequence * SAMPLING_COLUMNS.length + SAMPLING_COLUMNS.indexOf("logProbability")] === 1;
    const depth = routes && routes.reduce((sum, taken, i) => sum + (taken ? this.#layers[i]! : 0), 0);
    return {
      sequence,
      index,
      token,
      logprob: wantsLogProbability || Number.isNaN(logprob) ? logprob : null,
      depth,
      routes,
      finish,
    };
  }

  #stopsWith(sequence: number, token: number): boolean {
    const { until, constraints } = this.#options;
    const whole = constraints?.[sequence]!.add(token) ?? false; // there is one for each
    return (until?.(sequence, token) ?? false) || whole;
  }

  /** Options of every run. */
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
  /** For each sequence and axis, whether the token of a run took the axis. Called once for each run. */
  #routes(results: Results): readonly (readonly boolean[])[] {
    const counts = this.#counts(results);
    this.#options.observe?.add(results, this.#ended);
    return this.#prompts.map((_, b) => counts.map((rows, i) => rows[b]! > this.#capacity.answeredRows(i)[b]!));
  }

  async #grow(lengths: Uint32Array): Promise<void> {
    this.#capacity.grow(lengths);
    await this.#place.prompt.growStates(this.#capacity.extents);
  }

  /** The rows of each sequence on an axis, up to the end of its text. */
  #rows(axis: number): readonly number[] {
    return Array.from(this.#capacity.answeredRows(axis), (rows, b) => this.#rowsAtEnd[b]?.[axis] ?? rows);
  }

  /** By axis, the positions of the rows of each sequence; null for an axis without cached positions. */
  taken(): Promise<readonly (readonly Uint32Array[] | null)[]> {
    return positionsOn(this.#place, (axis) => this.#rows(axis));
  }

  /** Waits for the runs in flight. */
  async end(): Promise<void> {
    await Promise.allSettled(this.#pending.map((p) => p.results));
  }

  summary(): Summary {
    const prompts = this.#prompts.map((p) => p.length);
    return summarise(this.#place.generation, {
      prompts,
      read: this.#rowsRead,
      generatedTokens: this.#generated.map((tokens) => tokens.length),
      rows: this.#place.generation.axes.map((_, i) => this.#rows(i)),
      capacity: this.#capacity,
      timing: this.#timing,
    });
  }
}
