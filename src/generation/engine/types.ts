// What an engine takes and gives: requests of many clients, each a stream of tokens.
import type { CacheUse } from "./caches/use.js";
import type { EngineRequest, EngineToken, PromptRead, Summary } from "../types.js";

export type { Likely, Scored } from "../sampling/scores.js";
export type { EngineRequest, EngineToken, PromptRead, RowReader } from "../types.js";

/** The first event of a stream says that the prompt has been read. */
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
  /** Bytes of keys, values and states of recurrences, and those with every token in every layer. */
  readonly cache: { readonly own: number; readonly dense: number };
}

/**
 * The events of a request. The engine does not wait for its reader: events that are not read yet are held, as many as
 * `maxTokens`. Returning from the loop aborts the request.
 */
export interface EngineStream extends AsyncIterable<EngineEvent> {
  readonly use: RequestUse;
  /** The summary of the request so far. */
  readonly summary: Summary;
  /**
   * For each of `EngineModel.routes`, the positions of the tokens so far that took it; null if the caches do not keep
   * them.
   */
  taken(): readonly (Uint32Array | null)[];
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
  readonly cache: CacheUse;
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
