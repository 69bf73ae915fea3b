// One generation: prompts that are continued together, as sequences of an engine's core, which works whenever the
// caller waits for a token.
import { SAMPLING_COLUMNS } from "../../ground/numerics/sampling.js";
import { InputError } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import { checkPrompts } from "../engine/check.js";
import { besideOf } from "../engine/given.js";
import type { Core } from "../engine/core.js";
import { type AddedToken, Sequence, type SequenceReader } from "../engine/sequences/sequence.js";
import { type Settled, settled } from "../engine/sequences/settled.js";
import { summaryOf, Timing } from "../engine/summary.js";
import { perSequence } from "../sampling/options.js";
import type { GeneratedToken, GenerateOptions, Summary } from "../types.js";

const LOG_PROBABILITY = SAMPLING_COLUMNS.indexOf("logProbability");

/**
 * Checks prompts and options, with names of options that the caller knows beyond those of packages, and the kind of its
 * live values. Throws InputError, what a constraint throws that allows nothing.
 */
export function settleAll(
  generation: Generation,
  prompts: readonly ArrayLike<number>[],
  options: GenerateOptions,
  more?: readonly string[],
  kind = "",
): readonly Settled[] {
  const most = checkPrompts(generation, prompts, options, more);
  const { sampling = {}, constraints, ends = [], maxTokens, until, live, signal } = options;
  const beside = besideOf(generation, { prompts, most }, options);
  return perSequence(sampling, prompts.length).map((own, i) =>
    settled(
      {
        prompt: prompts[i]!,
        // One more than there is room for: the sequence ends with the context.
        maxTokens: maxTokens ?? most[i]! + 1,
        most: most[i]!,
        until: until && ((token) => until(i, token)),
        live,
        kind,
        signal,
        given: beside.given,
        beside: beside.rows[i] ?? null,
      },
      generation.vocabulary,
      ends,
      own,
      constraints?.[i],
    ),
  );
}

export class Together {
  readonly sequences: readonly Sequence[];
  readonly #core: Core;
  readonly #signal: AbortSignal | undefined;
  readonly #timing: Timing;
  /** Tokens that are not given to the caller yet. */
  readonly #tokens: GeneratedToken[] = [];
  #fault: { readonly error: unknown } | null = null;
  /** For each sequence whose prompt was read, its rows then. */
  readonly #promptRows: (readonly number[])[] = [];
  #read = 0;
  /** Devices that were lost before each sequence ended. */
  readonly #losses: number[] = [];
  /** Sequences that no run in flight has. */
  #left = 0;
  #wake = (): void => {};

  /** `readerOf`: the reader of a sequence, from what it is without it. Throws InputError for too long a prompt. */
  constructor(
    core: Core,
    settled: readonly Settled[],
    readerOf = (_sequence: number, reader: SequenceReader): SequenceReader => reader,
  ) {
    const signal = settled[0]!.signal;
    [this.#core, this.#signal] = [core, signal];
    this.#timing = new Timing(() => core.compiling);
    const { generation, caches } = core.opened;
    const members = settled.map((own, i) => {
      if (own.prompt.length > caches.limit)
        throw new InputError("prompts", `a prompt has ${own.prompt.length} tokens, the caches hold ${caches.limit}`);
      return new Sequence(own, readerOf(i, this.#reader(i)), generation.axes.length, caches.limit);
    });
    this.sequences = members;
    for (const sequence of members) {
      sequence.group = members;
      core.roster.add(sequence);
    }
    signal?.addEventListener("abort", this.#abort);
  }

  readonly #abort = (): void => this.#fail(this.#signal!.reason);

  #fail(error: unknown): void {
    for (const sequence of this.sequences) this.#core.fail(sequence, error);
  }

  /** Throws the fault of a sequence, after which the others end, and the reason of the signal. */
  async *tokens(): AsyncGenerator<GeneratedToken, void> {
    this.#signal?.throwIfAborted();
    for (;;) {
      for (let next = this.#tokens.shift(); next; next = this.#tokens.shift()) yield next;
      if (this.#fault) throw this.#fault.error;
      if (this.sequences.every(({ over }) => over)) return;
      // The engine works until an answer, or until a sequence fails.
      await new Promise<void>((resolve, reject) => {
        this.#wake = resolve;
        this.#core.turn().then(() => resolve(), reject);
      });
    }
  }

  #reader(i: number): SequenceReader {
    return {
      prompt: ({ rows }) => {
        if (this.#promptRows[i]) return;
        this.#promptRows[i] = rows;
        if (++this.#read === (this.#core.opened.caches.together ? this.sequences.length : 1)) this.#timing.first();
      },
      token: (token) => this.#add(i, token),
      fail: (error) => {
        this.#fault ??= { error };
        this.#wake();
      },
      end: () => void this.#left++,
    };
  }

  #add(i: number, { index, token, logprob, depth, routes, finish, details }: AddedToken): void {
    const { settled, promptLength } = this.sequences[i]!;
    this.#timing.token();
    if (finish !== null) this.#losses[i] = this.#core.losses;
    const wanted = settled.tables.settings[LOG_PROBABILITY] === 1;
    // If the token before was read with others of the prompt, caches side by side do not know its routes.
    const known = index > 0 || promptLength === 1 || this.#core.opened.caches.together;
    this.#tokens.push({
      sequence: i,
      index,
      token,
      logprob: wanted || Number.isNaN(logprob) ? logprob : null,
      depth: known ? depth : null,
      routes: known ? routes : null,
      finish,
      ...details,
    });
  }

  /** Whether the caches of some sequences were lost after these had ended. */
  get lost(): boolean {
    return this.#losses.some((before) => before < this.#core.losses);
  }

  /** Ends what is left, and waits for runs in flight. */
  async end(): Promise<void> {
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#fail(new DOMException("the generation was left", "AbortError"));
    while (this.#left < this.sequences.length) await this.#core.turn();
  }

  summary(): Summary {
    return summaryOf(this.#core.opened, this.sequences, this.#promptRows, this.#timing);
  }
}
