// What an engine takes and gives: requests of many clients, each a stream of tokens.
import type { SamplingOptions } from "../sampling/options.js";
import type { Scored } from "../sampling/scores.js";
import type { Finish, TokenConstraint } from "../types.js";

export type { Likely, Scored } from "../sampling/scores.js";

/** Sampling of one request: that of `modc/generate`, and the two penalties of the OpenAI API. */
export interface RequestSampling extends Omit<SamplingOptions, "logprobs"> {
  /** Subtracted from the logits of tokens that the generated text has. From −2 to 2; default 0. */
  readonly presencePenalty?: number;
  /** Subtracted from a token's logit for each time that the generated text has it. From −2 to 2; default 0. */
  readonly frequencyPenalty?: number;
}

export interface EngineRequest {
  /** At least one token. */
  readonly prompt: ArrayLike<number>;
  /** The most tokens to generate, from 0. At 0 the prompt is read, and nothing chosen. */
  readonly maxTokens: number;
  readonly sampling?: RequestSampling;
  /** Tokens that end the text. */
  readonly ends?: readonly number[];
  /** Called for each token that does not end the text; returning true makes it the last. For stop strings. */
  readonly until?: (token: number) => boolean;
  /** A new constraint, which the text is held to: its form is the text's alone. */
  readonly constraint?: TokenConstraint;
  /**
   * null: no log-probabilities, the default. n from 0: of each generated token, and the n most likely in its place,
   * from the unadjusted logits.
   */
  readonly logprobs?: number | null;
  /** As `logprobs`, of each token of the prompt after the first. */
  readonly promptLogprobs?: number | null;
  /** Whether to say which routes each token of the prompt took. Those of generated tokens are always said. */
  readonly promptRoutes?: boolean;
  /** Values of the model's live parameters. Requests of unlike values never share a run. */
  readonly live?: Readonly<Record<string, number>>;
  /** Aborts the request: its stream throws the signal's reason. Its memory is freed after the runs in flight. */
  readonly signal?: AbortSignal;
}

/** The first event of a stream, once the prompt has been read. */
export interface PromptRead {
  readonly kind: "prompt";
  readonly tokens: number;
  /** How many of them were found in the cache. */
  readonly cached: number;
  /** For each token; null for the first. null unless asked for. */
  readonly scores: readonly (Scored | null)[] | null;
  /** For each token and each of `EngineModel.routes`, whether the token took it; null unless asked for. */
  readonly routes: readonly (readonly boolean[])[] | null;
}

/** A generated token. */
export interface EngineToken {
  readonly kind: "token";
  /** Its index among the generated tokens. */
  readonly index: number;
  readonly token: number;
  /** null unless asked for. */
  readonly score: Scored | null;
  /** The number of layers that computed the previous token; null if it was read with other tokens of the prompt. */
  readonly depth: number | null;
  /** Whether the token before took each of `EngineModel.routes`; null if `depth` is. */
  readonly routes: readonly boolean[] | null;
  /** Why the text ends with this token; null if it goes on. */
  readonly finish: Finish | null;
}

export type EngineEvent = PromptRead | EngineToken;

/** What a request took, so far or in all. */
export interface RequestUse {
  /** Tokens of the prompt that were read. */
  readonly promptTokens: number;
  /** Tokens of the prompt that were found in the cache. */
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /** For each of `EngineModel.routes`, how many tokens took it. */
  readonly routes: readonly number[];
  /** Floating-point operations of all tokens read, and those with every token in every layer. */
  readonly flops: { readonly own: number; readonly dense: number };
  /** Bytes of keys and values, and those with every token in every layer. */
  readonly cache: { readonly own: number; readonly dense: number };
}

/**
 * The events of a request. The engine does not wait for its reader: events that are not read yet are held, as many as
 * `maxTokens`. Returning from the loop aborts the request.
 */
export interface EngineStream extends AsyncIterable<EngineEvent> {
  readonly use: RequestUse;
  /** Aborts the request; its stream throws an AbortError. */
  cancel(): void;
}

export interface EngineRoute {
  /** "" for all tokens. */
  readonly path: string;
  /** The number of attentions on it; 1 where there is none. */
  readonly layers: number;
}

export interface EngineModel {
  readonly vocabulary: number;
  /** The most tokens of a text with its prompt, within the cache as it was to be; null: no limit. */
  readonly context: number | null;
  /** All tokens first. */
  readonly routes: readonly EngineRoute[];
  /** Names of the model's live parameters. */
  readonly live: readonly string[];
}

/** How a request ended. */
export type Outcome = "finished" | "cancelled" | "failed";

/**
 * Called for each thing that an engine does. An error that a method throws is an uncaught exception, and ends no
 * request.
 */
export interface EngineObserver {
  /** A request was taken into the queue; one began to be read, for the first time, after so many milliseconds. */
  queued?(): void;
  began?(waited: number): void;
  ended?(outcome: Outcome, use: RequestUse): void;
  /**
   * A run: the number of its sequences and of the tokens that it read, and milliseconds since the previous answer.
   * `compiling`: milliseconds that all runs so far have waited for kernels, if that is known.
   */
  ran?(run: {
    readonly kind: "prompt" | "step";
    readonly sequences: number;
    readonly tokens: number;
    readonly milliseconds: number;
    readonly compiling?: number;
  }): void;
  /** Milliseconds from the request to its first token, and from each to the next. */
  firstToken?(milliseconds: number): void;
  nextToken?(milliseconds: number): void;
  /** Tokens that were read and must be again, because their memory was given to others. */
  preempted?(tokens: number): void;
  /** Tokens that were guessed by depth, and how many of them were right. */
  drafted?(guessed: number, right: number): void;
  deviceLost?(): void;
  /** The device has no more memory for keys and values than these bytes, fewer than `cacheMemory`. */
  cacheLimited?(bytes: number): void;
}

export interface EngineState {
  readonly active: number;
  readonly queued: number;
  /**
   * Bytes of keys and values: in use by requests, kept for later prompts, free, and the limit. `streams`: how many
   * texts as long as those so far were on average the memory has room for, and how many if every token took every
   * layer; 0 before there was one.
   */
  readonly cache: {
    readonly used: number;
    readonly kept: number;
    readonly free: number;
    readonly limit: number;
    readonly streams: { readonly own: number; readonly dense: number };
  };
  /** Devices that were lost. */
  readonly lost: number;
  /** Whether there is a device: not while a lost one is replaced, nor where none could be had; that is tried again. */
  readonly ready: boolean;
}

export interface Engine {
  readonly model: EngineModel;
  /**
   * Takes a request. Throws InputError for one that can never run (an empty prompt, an unknown token, a prompt beyond
   * the context or the cache), QueueFullError where the queue is full, EngineClosedError while the engine ends.
   */
  submit(request: EngineRequest): EngineStream;
  readonly state: EngineState;
  /** Takes no more requests; resolves when those under way have ended. */
  drain(): Promise<void>;
  /** Aborts what is under way, and frees the device's memory. */
  close(): Promise<void>;
}
