// Options of an engine, and what is asked of requests before they are taken.
import type { Generation, PagedGeneration } from "../../runtime/program/generation.js";
import { checkPrompts } from "../generate/check.js";
import { samplingTables, type SamplingTables } from "../generate/options.js";
import { type Device, type DeviceLostError, InputError, type Session, type SessionEvent } from "../../runtime/index.js";
import { CacheFullError } from "./errors.js";
import { checkLive } from "../../runtime/run/extents.js";
import { toNumber } from "../../ground/numerics/rational.js";
import type { EngineObserver, EngineRequest, RequestSampling } from "./types.js";

export interface EngineOptions {
  /** The most requests whose texts are on the device at once. Default 16. */
  readonly maxBatch?: number;
  /** Bytes of keys and values, of requests and of prefixes kept for others. Default: see `defaultCacheMemory`. */
  readonly cacheMemory?: number;
  /** The most requests that wait. Default 256. */
  readonly queue?: number;
  /** The most tokens of prompts in a run. Default 256; fewer while texts are being generated, which wait for them. */
  readonly chunk?: number;
  /** A u32 seed for the model's random values, and for random initial weights. Default 0. */
  readonly seed?: number;
  /**
   * How tokens are guessed ahead. routes: by the model with its routes skipped; the texts are the same. Default off: it
   * gains only where a step's time lies in its kernels' number, not in its weights.
   */
  readonly draft?: "off" | "routes";
  readonly observer?: EngineObserver;
  /** A session of the same model, whose weights the engine shares, as in `GeneratorOptions`. */
  readonly weightsOf?: Session;
  readonly signal?: AbortSignal;
  readonly onProgress?: (event: SessionEvent) => void;
  /**
   * Opens a replacement for a lost device, which the engine destroys at its end. By default the best available device;
   * null: the loss of the device ends all requests.
   */
  readonly recover?:
    | ((lost: DeviceLostError) => Promise<{ readonly device: Device; readonly generation?: Generation }>)
    | null;
}

/** A generation whose caches lie in pages. */
export type Paged = Generation & { readonly pages: PagedGeneration };

export interface EngineLimits {
  readonly maxBatch: number;
  readonly cacheMemory: number;
  readonly queue: number;
  readonly chunk: number;
}

/** Bytes that a token takes in the caches of each axis. */
export const bytesByAxis = ({ pages }: Paged): readonly number[] =>
  pages.axes.map(({ states }) => states.reduce((sum, { bytes }) => sum + bytes, 0));

/** Tokens of a text that default limits make room for. */
const USUAL_TEXT = 1024;
const MOST_DEFAULT = 2 * 2 ** 30;

/** Room for texts of 1024 tokens, or of the context, in every sequence of a batch; at most 2 GiB, at least one text. */
function defaultCacheMemory(generation: Paged, maxBatch: number): number {
  const dense = bytesByAxis(generation).reduce((a, b) => a + b, 0);
  const { context } = generation;
  const text = wholePages(Math.min(context ?? USUAL_TEXT, USUAL_TEXT), generation) * dense;
  const whole = wholePages(context ?? USUAL_TEXT, generation) * dense;
  return Math.max(whole, Math.min(MOST_DEFAULT, text * maxBatch));
}

const wholePages = (tokens: number, { pages }: Paged): number => pages.page * Math.ceil(tokens / pages.page);

/** Tokens of a text that surely fits into the cache, whatever routes they take. */
export const cacheLimit = (generation: Paged, cacheMemory: number): number => {
  const dense = bytesByAxis(generation).reduce((a, b) => a + b, 0);
  const { page } = generation.pages;
  return dense === 0 ? Infinity : page * Math.floor(cacheMemory / (page * dense));
};

const isPaged = (generation: Generation): generation is Paged => generation.pages !== undefined;

export function checkEngine(generation: Generation, options: EngineOptions): readonly [Paged, EngineLimits] {
  if (!isPaged(generation))
    throw new InputError(null, "the caches of this generation are not in pages", 'compile it with `caches: "pages"`');
  const whole = (name: "maxBatch" | "queue" | "chunk", value: number, least: number, most: number): number => {
    if (!Number.isSafeInteger(value) || value < least || value > most)
      throw new InputError(name, `${name} is ${value}: it must be a whole number from ${least} to ${most}`);
    return value;
  };
  const paged = generation;
  const { pages } = paged;
  const maxBatch = whole("maxBatch", options.maxBatch ?? 16, 1, MOST_BATCH);
  const cacheMemory = options.cacheMemory ?? defaultCacheMemory(paged, maxBatch);
  const least = bytesByAxis(paged).reduce((a, b) => a + b, 0) * pages.page;
  if (!(Number.isSafeInteger(cacheMemory) && cacheMemory >= 2 * least))
    throw new InputError(
      "cacheMemory",
      `cacheMemory is ${cacheMemory}: it must be at least ${2 * least} bytes, the keys and values of two pages of ` +
        `${pages.page} tokens`,
    );
  if (options.draft === "routes" && !mayDraft(paged))
    throw new InputError("draft", "the model has no routes that skip layers, so it cannot draft");
  const chunk = Math.min(whole("chunk", options.chunk ?? 256, 1, 4096), generation.context ?? 4096);
  return [paged, { maxBatch, cacheMemory, queue: whole("queue", options.queue ?? 256, 0, 1e6), chunk }];
}

/** Rows of every route can be told from one another, so that those of wrong guesses are forgotten. */
const mayDraft = ({ pages }: Paged): boolean =>
  pages.draft !== null && pages.axes.every(({ taken }, axis) => axis === 0 || taken !== null);

const MOST_BATCH = 1024;

/** Names of a request's fields: one without a place here does not compile. */
const FIELDS: Readonly<Record<keyof EngineRequest, true>> = {
  prompt: true,
  maxTokens: true,
  sampling: true,
  ends: true,
  until: true,
  constraint: true,
  logprobs: true,
  promptLogprobs: true,
  promptRoutes: true,
  live: true,
  signal: true,
};

/** What a request asks of sampling on the device; penalties are biases that the host writes. */
function tablesOf(sampling: RequestSampling | undefined, vocabulary: number): SamplingTables {
  const { presencePenalty: _, frequencyPenalty: __, ...own } = sampling ?? {};
  return samplingTables(own, 1, vocabulary);
}

/**
 * Checks a request; `limit`: tokens of a text that fit the cache, `wanted`: that were to fit. Returns the most tokens
 * to generate within the context, and its row of the tables of sampling. Throws InputError for one that can never run,
 * and CacheFullError for one that the cache was to hold.
 */
export function checkRequest(
  generation: Paged,
  request: EngineRequest,
  limit: number,
  wanted: number,
): { readonly most: number; readonly tables: SamplingTables } {
  const { prompt, maxTokens, sampling, logprobs, promptLogprobs, live } = request;
  for (const name of Object.keys(request))
    if (!Object.hasOwn(FIELDS, name)) throw new InputError(name, `a request has no ${name}`);
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 0)
    throw new InputError("maxTokens", `maxTokens is ${String(maxTokens)}: it must be a whole number from 0`);
  const [room] = checkPrompts(generation, [prompt], { ends: request.ends ?? [], maxTokens: Math.max(1, maxTokens) });
  if (prompt.length > limit && prompt.length <= wanted) throw new CacheFullError();
  if (prompt.length > limit)
    throw new InputError(
      "prompt",
      `the prompt has ${prompt.length} tokens, the cache has room for a text of ${limit}`,
      "give the engine more cacheMemory",
    );
  for (const name of ["presencePenalty", "frequencyPenalty"] as const) {
    const value = sampling?.[name] ?? 0;
    if (!(value >= -2 && value <= 2))
      throw new InputError(name, `${name} must be from −2 to 2, found ${String(value)}`);
  }
  for (const [name, n] of Object.entries({ logprobs, promptLogprobs }))
    if ((n ?? null) !== null && !(Number.isSafeInteger(n) && n! >= 0 && n! <= MOST_LIKELY))
      throw new InputError(name, `${name} must be a whole number from 0 to ${MOST_LIKELY}, found ${String(n)}`);
  checkLive(generation.prompt, live, null);
  return {
    most: maxTokens === 0 ? 0 : room!,
    tables: tablesOf(sampling, generation.vocabulary),
  };
}

/** The most alternatives that a request may ask for. */
const MOST_LIKELY = 100;

/** Requests with equal live parameters are of one kind: those at their defaults of the kind "". */
export function kindOf({ prompt }: Paged, live: EngineRequest["live"]): string {
  const defaults = checkLive(prompt, {}, null);
  const changed = [...checkLive(prompt, live, null)].filter(
    ([name, value]) => toNumber(defaults.get(name)!) !== toNumber(value),
  );
  return changed.map(([name, value]) => `${name}=${toNumber(value)}`).join();
}
