// One request while the engine works on it: its tokens, how many of them are read, and how far its runs are.
import type { Finish, GeneratedToken, SequenceToken } from "../../types.js";
import type { Results } from "../../../runtime/index.js";
import type { Scheduled } from "./scheduler.js";
import type { Settled } from "./settled.js";

/** A token that the model chose for a sequence. */
export interface ChosenToken {
  readonly token: number;
  /** As the device computes it if the settings ask for that; NaN if the logits are not finite numbers. */
  readonly logprob: number;
  /** Whether the token read last took each axis; null if that is not known. */
  readonly routes: readonly boolean[] | null;
  /** A result whose row `row` has the logits of the choice; undefined: they were not read. */
  readonly logits: Results[string] | undefined;
  readonly row: number;
}

/** A chosen token, in its sequence. */
export interface AddedToken extends ChosenToken, Pick<SequenceToken, "index" | "depth" | "finish"> {
  readonly details?: Pick<GeneratedToken, "score" | "experts">;
}

/** The sequences of a run, and the row of each in its results. */
export interface ObservedRun {
  readonly kind: "prompt" | "step";
  readonly sequences: readonly Sequence[];
  readonly rows: readonly number[];
}

/** Reads further results of the runs of some sequences. */
export interface Observer {
  /** Names of the results. */
  readonly outputs: readonly string[];
  add(run: ObservedRun, results: Results): void;
}

/** Takes the tokens and the end of a sequence. */
export interface SequenceReader {
  /** Whether it needs the logits of chosen tokens, and of tokens of the prompt. */
  readonly scores?: boolean;
  readonly scoresPrompt?: boolean;
  /** Several sequences may have the same. */
  readonly observer?: Observer | null;
  /** The sequence got a place on the device, for the first time. */
  began?(): void;
  /** A run has read `length` tokens of the prompt; its results have them in row `row`. */
  read?(sequence: Sequence, results: Results, row: number, length: number): void;
  /** The prompt was read. After the loss of a device or of memory it is read again. */
  prompt(sequence: Sequence): void;
  token(token: AddedToken): void;
  /** The error of a token that was chosen by logits that are not finite numbers; without it the token counts. */
  notFinite?(sequence: Sequence): Error;
  fail(error: unknown): void;
  /** No run in flight has the sequence, and none will. */
  end(): void;
}

export class Sequence implements Scheduled {
  readonly settled: Settled;
  readonly reader: SequenceReader;
  /** The sequences that came together, which caches side by side have in every run; null: it came alone. */
  group: readonly Sequence[] | null = null;
  /** When it came, in milliseconds. */
  readonly began = performance.now();
  /** Prompt and generated tokens. */
  readonly tokens: number[];
  readonly promptLength: number;
  /** The most tokens to generate, within the context and the cache. */
  most = 0;
  /**
   * waiting: nothing of it is on the device. reading: chunks of its tokens are. stepping: all of them are, and steps
   * may follow.
   */
  phase: "waiting" | "reading" | "stepping" = "waiting";
  /** While reading: of `tokens`, those in the cache or in a run. */
  submitted = 0;
  /** The number of `tokens` that answered runs have read. */
  read = 0;
  /** By axis, rows after the last answered run. */
  rows: readonly number[];
  /** The row of the sequence in the states; null while it waits. */
  slot: number | null = null;
  /** When it got its place on the device, in milliseconds. */
  joined = 0;
  /** Tokens that were found in the cache then. */
  found = 0;
  /** The number of tokens that runs in flight read. */
  inFlight = 0;
  /** The number of runs in flight that choose a token: steps, and the last chunk of `tokens`. */
  choosing = 0;
  /** Tokens of the prompt that were found in the cache when it first began to be read; null before. */
  cached: number | null = null;
  /** Whether its tokens are never guessed, because its states cannot be saved before. */
  plain = false;
  finish: Finish | null = null;
  /** Why it ends without a finish. */
  failure: { readonly error: unknown } | null = null;

  /** `axes`: the number of axes; `limit`: tokens that the cache holds. */
  constructor(settled: Settled, reader: SequenceReader, axes: number, limit: number) {
    [this.settled, this.reader] = [settled, reader];
    this.tokens = Array.from(settled.prompt);
    this.promptLength = this.tokens.length;
    this.rows = Array.from({ length: axes }, () => 0);
    this.limitTo(limit);
  }

  get kind(): string {
    return this.settled.kind;
  }
  get length(): number {
    return this.tokens.length;
  }
  get generated(): number {
    return this.tokens.length - this.promptLength;
  }
  get over(): boolean {
    return this.finish !== null || this.failure !== null;
  }
  get wanted(): number {
    return this.most - this.generated - this.choosing;
  }
  get waitsForTokens(): boolean {
    return this.settled.biases !== null || !!this.settled.beside;
  }
  /** Penalties look at each token before the next, and observers at the results of steps. */
  get mayGuess(): boolean {
    return !this.plain && !this.waitsForTokens && !this.settled.tables.penalised && !this.reader.observer;
  }
  /** Whether it takes the token of the largest logit, unadjusted. */
  get greedy(): boolean {
    return this.settled.biases === null && this.settled.tables.greedy;
  }

  /** Ends the sequence with the cache, which holds this number of its tokens; false if it has no room for another. */
  limitTo(tokens: number): boolean {
    const room = tokens - this.promptLength + 1;
    this.most = Math.min(this.settled.most, room);
    return room > this.generated;
  }

  /** Has got its place on the device, and is read. */
  join(now: number): void {
    if (this.cached === null) this.reader.began?.();
    this.found = this.read;
    this.cached ??= this.found;
    this.joined = now;
    this.phase = "reading";
  }

  fail(error: unknown): void {
    this.failure = { error };
    this.reader.fail(error);
  }

  /** Adds a chosen token. Sets `finish` if the sequence ends with it. `context`: the most tokens that are read. */
  add(chosen: ChosenToken, depth: number | null, context: number): void {
    const { token } = chosen;
    const { most, settled } = this;
    const index = this.tokens.push(token) - 1 - this.promptLength;
    this.finish = settled.ends.has(token)
      ? "end"
      : this.#stopsWith(token)
        ? "stop"
        : index + 1 < most
          ? null
          : most < settled.maxTokens && this.tokens.length > context
            ? "context"
            : "length";
    this.reader.token({ ...chosen, index, depth, finish: this.finish });
  }

  #stopsWith(token: number): boolean {
    const { until, biases } = this.settled;
    const whole = biases?.add(token) ?? false;
    return (until?.(token) ?? false) || whole;
  }
}
