// The text of one request while the engine works on it: its tokens, how many of them are read, and where its rows lie.
import type { Finish } from "../generate/index.js";
import type { SamplingTables } from "../generate/options.js";
import type { Block } from "./prefixes.js";
import type { EventStream } from "./stream.js";
import type { EngineRequest, EngineToken, PromptRead, Scored } from "./types.js";

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
  /** Called at its end: its signal is no longer heard. */
  readonly forget: () => void;
  /** When it was taken, in milliseconds. */
  readonly began: number;
}

/** So many blocks of tokens, of which `block` is the last, and by axis the rows at their end. */
export interface Kept {
  readonly blocks: number;
  readonly block: Block | null;
  readonly rows: readonly number[];
}

export class Sequence {
  readonly settled: Settled;
  readonly stream: EventStream;
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
  /** By axis, the pages with its rows, and some for those to come. */
  readonly pages: number[][];
  /** By axis, the positions of the tokens that took it; null for an axis that keeps none. */
  readonly taken: (number[] | null)[];
  /** Where it keeps what is of it on the device; null while it waits. */
  slot: number | null = null;
  /** When it got its slot, in milliseconds. */
  joined = 0;
  /** Tokens that were found in the cache then. */
  found = 0;
  /** Tokens of it that runs in flight read. */
  inFlight = 0;
  /** Runs in flight that choose a token of it: steps, and the last chunk of `tokens`. */
  choosing = 0;
  /** Tokens of the prompt that were found in the cache when it first began to be read; null before. */
  cached: number | null = null;
  /** What of `tokens` is kept as a prefix for others; null where nothing behind it is. */
  kept: Kept | null;
  finish: Finish | null = null;
  /** Why it ends without a finish. */
  failure: { readonly error: unknown } | null = null;
  #promptTold = false;
  /** How often each token was generated, where penalties count that. */
  readonly #times: Map<number, number> | null;
  readonly #promptScores: (Scored | null)[] = [null];
  /** When its last token was told. */
  lastTold: number;

  /** `limit`: tokens that the cache holds. `keepsPositions`: by axis, whether it is known which tokens took it. */
  constructor(settled: Settled, limit: number, keepsPositions: readonly boolean[], stream: EventStream) {
    this.settled = settled;
    this.stream = stream;
    this.tokens = Array.from(settled.request.prompt);
    this.promptLength = this.tokens.length;
    this.rows = keepsPositions.map(() => 0);
    this.kept = { blocks: 0, block: null, rows: this.rows };
    this.pages = keepsPositions.map(() => []);
    this.taken = keepsPositions.map((keeps) => (keeps ? [] : null));
    this.#times = isPenalised(settled.request) ? new Map() : null;
    this.lastTold = settled.began;
    this.limitTo(limit);
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
  /** Tokens that are asked for and not submitted. */
  get wanted(): number {
    return this.most - this.generated - this.choosing;
  }
  /** Whether a step reads what the step before it chose, so that none may be submitted before that is known. */
  get waitsForTokens(): boolean {
    return this.settled.request.constraint !== undefined || this.#times !== null;
  }
  /** The generated tokens that penalties count, with how often each came; null where the text has no penalties. */
  get times(): ReadonlyMap<number, number> | null {
    return this.#times;
  }

  /** Ends the text with the cache, which holds so many of its tokens; false where it has no room for another one. */
  limitTo(tokens: number): boolean {
    const room = tokens - this.promptLength + 1;
    this.most = Math.min(this.settled.most, room);
    return room > this.generated;
  }

  /** Forgets all that is on the device: everything is read again. */
  restart(): void {
    this.submitted = this.read = this.inFlight = this.choosing = 0;
    this.rows = this.rows.map(() => 0);
    this.kept = { blocks: 0, block: null, rows: this.rows };
    for (const own of this.pages) own.length = 0;
    for (const own of this.taken) if (own) own.length = 0;
    this.slot = null;
    this.phase = "waiting";
  }

  /** Scores of tokens of the prompt, in order. Those that come again are ignored. */
  scorePrompt(at: number, score: Scored): void {
    if (at === this.#promptScores.length && at < this.promptLength) this.#promptScores.push(score);
  }

  /** Tells that the prompt was read, once. `routes`: for each token, whether it took each axis. */
  tellPrompt(routes: PromptRead["routes"]): void {
    if (this.#promptTold) return;
    this.#promptTold = true;
    const { promptLogprobs, promptRoutes } = this.settled.request;
    this.stream.push({
      kind: "prompt",
      tokens: this.promptLength,
      cached: this.cached ?? 0,
      scores: (promptLogprobs ?? null) === null ? null : this.#promptScores,
      routes: promptRoutes ? routes : null,
    });
  }

  /** Adds a chosen token, tells it, and says why the text ends with it, if it does. */
  add(token: number, told: Pick<EngineToken, "score" | "depth" | "routes">, context: number): void {
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
    this.stream.push({ kind: "token", index, token, ...told, finish: this.finish });
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
