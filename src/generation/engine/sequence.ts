// One request while the engine works on it: its tokens, how many of them are read, and how far its runs are.
import type { Finish, RowReader } from "../types.js";
import type { SamplingTables } from "../sampling/options.js";
import type { PrefixRows } from "./caches/prefixes.js";
import type { Scheduled } from "./scheduler.js";
import type { EngineEvent, EngineRequest, EngineToken, PromptRead, Scored } from "./types.js";

/** The parts of a request that the engine looks at with every run. */
export interface Settled {
  readonly request: EngineRequest;
  /** The most tokens to generate, within the context. */
  readonly most: number;
  /** Requests of one kind may share runs and prefixes: those with the same live parameters. */
  readonly kind: string;
  readonly ends: ReadonlySet<number>;
  /** Its row of the tables of sampling. */
  readonly tables: SamplingTables;
  /** Whether its tokens are given though the logits are not finite numbers; otherwise it fails. */
  readonly takesNaN: boolean;
  /** Aborts it. */
  readonly cancel: () => void;
  /** Called at its end: its signal is no longer heard. */
  readonly forget: () => void;
  /** When it was taken, in milliseconds. */
  readonly began: number;
}

/** Sequences that came together: in caches side by side they are read and step together. */
export interface Group {
  readonly members: readonly Sequence[];
  /** Reads further results of their runs. */
  readonly observe: RowReader | null;
  /** Aborts them all. */
  readonly signal: AbortSignal | undefined;
}

/** Takes the events of a sequence. */
export interface EventSink {
  /** `logprob`: of a token, as the device computes it if its settings ask for that; NaN if the logits are not finite. */
  push(event: EngineEvent, logprob?: number): void;
  fail(error: unknown): void;
  end(): void;
}

export class Sequence implements Scheduled {
  readonly settled: Settled;
  readonly stream: EventSink;
  /** Null: it came alone. */
  group: Group | null = null;
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
  /** Of `tokens`, those that answered runs have read. */
  read = 0;
  /** By axis, rows after the last answered run. */
  rows: readonly number[];
  /** By axis, the positions of the tokens that took it; null for an axis that keeps none. */
  readonly taken: (number[] | null)[];
  /** Its row of the states that have one for each sequence; null while it waits. */
  slot: number | null = null;
  /** When it got its place on the device, in milliseconds. */
  joined = 0;
  /** Tokens that were found in the cache then. */
  found = 0;
  /** Tokens of it that runs in flight read. */
  inFlight = 0;
  /** Runs in flight that choose a token of it: steps, and the last chunk of `tokens`. */
  choosing = 0;
  /** Tokens of the prompt that were found in the cache when it first began to be read; null before. */
  cached: number | null = null;
  finish: Finish | null = null;
  /** Why it ends without a finish. */
  failure: { readonly error: unknown } | null = null;
  #promptReported = false;
  /** How often each token was generated, if penalties count that. */
  readonly #times: Map<number, number> | null;
  readonly #promptScores: (Scored | null)[] = [null];
  /** When its last token was reported. */
  lastToken: number;

  /** `limit`: tokens that the cache holds. `keepsPositions`: by axis, whether it is known which tokens took it. */
  constructor(settled: Settled, limit: number, keepsPositions: readonly boolean[], stream: EventSink) {
    this.settled = settled;
    this.stream = stream;
    this.tokens = Array.from(settled.request.prompt);
    this.promptLength = this.tokens.length;
    this.rows = keepsPositions.map(() => 0);
    this.taken = keepsPositions.map((keeps) => (keeps ? [] : null));
    this.#times = isPenalised(settled.request) ? new Map() : null;
    this.lastToken = settled.began;
    this.limitTo(limit);
  }

  get began(): number {
    return this.settled.began;
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
  get aborted(): boolean {
    const error = this.failure?.error;
    return this.settled.request.signal?.aborted === true || (error instanceof Error && error.name === "AbortError");
  }
  get over(): boolean {
    return this.finish !== null || this.failure !== null;
  }
  get wanted(): number {
    return this.most - this.generated - this.choosing;
  }
  get waitsForTokens(): boolean {
    return this.settled.request.constraint !== undefined || this.#times !== null;
  }
  /** Penalties look at each token before the next, so that none may be guessed. */
  get mayGuess(): boolean {
    return !this.waitsForTokens && (this.settled.request.sampling?.repetitionPenalty ?? 1) === 1;
  }
  /** Whether it takes the token of the largest logit, unadjusted. */
  get greedy(): boolean {
    return !this.waitsForTokens && this.settled.tables.greedy;
  }
  /** Whether the scores of its tokens, and of those of its prompt, are asked for. */
  get scores(): boolean {
    return (this.settled.request.logprobs ?? null) !== null;
  }
  get scoresPrompt(): boolean {
    return (this.settled.request.promptLogprobs ?? null) !== null;
  }
  /** The generated tokens that penalties count, with how often each came; null for a sequence without penalties. */
  get times(): ReadonlyMap<number, number> | null {
    return this.#times;
  }

  /** Ends the sequence with the cache, which holds this number of its tokens; false if it has no room for another. */
  limitTo(tokens: number): boolean {
    const room = tokens - this.promptLength + 1;
    this.most = Math.min(this.settled.most, room);
    return room > this.generated;
  }

  /** Takes the rows of its first tokens over from the cache. */
  begin({ tokens, rows, taken }: Pick<PrefixRows, "tokens" | "rows" | "taken">): void {
    this.read = this.submitted = tokens;
    this.rows = [...rows];
    // One by one: a prefix may have more tokens than a call takes arguments.
    taken.forEach((own, axis) => {
      for (const position of own ?? []) this.taken[axis]?.push(position);
    });
  }

  /** Has got its place on the device, and is read. */
  join(now: number): void {
    this.found = this.read;
    this.cached ??= this.found;
    this.joined = now;
    this.phase = "reading";
  }

  /** Forgets all that is on the device: everything is read again. */
  restart(): void {
    this.submitted = this.read = this.inFlight = this.choosing = 0;
    this.rows = this.rows.map(() => 0);
    for (const own of this.taken) if (own) own.length = 0;
    this.slot = null;
    this.phase = "waiting";
  }

  /** Scores of tokens of the prompt, in order. Those that come again are ignored. */
  scorePrompt(at: number, score: Scored): void {
    if (at === this.#promptScores.length && at < this.promptLength) this.#promptScores.push(score);
  }

  /** Reports that the prompt was read, once. `routes`: for each token, whether it took each axis. */
  reportPrompt(routes: PromptRead["routes"]): void {
    if (this.#promptReported) return;
    this.#promptReported = true;
    this.stream.push({
      kind: "prompt",
      tokens: this.promptLength,
      cached: this.cached ?? 0,
      scores: this.scoresPrompt ? this.#promptScores : null,
      routes: this.settled.request.promptRoutes ? routes : null,
    });
  }

  /** Adds a chosen token and reports it. Sets `finish` if the sequence ends with it. */
  add(
    token: number,
    chosen: Pick<EngineToken, "score" | "depth" | "routes">,
    context: number,
    logprob: number = 0,
  ): void {
    const { most } = this;
    const { request, ends } = this.settled;
    const index = this.tokens.push(token) - 1 - this.promptLength;
    this.#times?.set(token, (this.#times.get(token) ?? 0) + 1);
    this.finish = ends.has(token)
      ? "end"
      : this.#stopsWith(token, request)
        ? "stop"
        : index + 1 < most
          ? null
          : most < request.maxTokens && this.tokens.length > context
            ? "context"
            : "length";
    this.stream.push({ kind: "token", index, token, ...chosen, finish: this.finish }, logprob);
  }

  #stopsWith(token: number, { until, constraint }: EngineRequest): boolean {
    const whole = constraint?.add(token) ?? false;
    return (until?.(token) ?? false) || whole;
  }
}

const isPenalised = ({ sampling = {} }: EngineRequest): boolean => {
  const { presencePenalty = 0, frequencyPenalty = 0 } = sampling;
  return presencePenalty !== 0 || frequencyPenalty !== 0;
};
