// Options of an engine, and its limits.
import { takesInputs, type Generation } from "../../runtime/program/generation.js";
import { InputError } from "../../runtime/index.js";
import { bug } from "../../ground/base/invariant.js";
import type { OpenOptions } from "../types.js";
import { bytesByAxis, memoryWith, type PagedModel, stateBytes } from "./caches/use.js";
import { checkOptions } from "./check.js";
import type { EngineObserver } from "./types.js";

export interface EngineOptions extends OpenOptions {
  /** The most requests that wait. Default 256. */
  readonly queue?: number;
  readonly observer?: EngineObserver;
}

type LimitOptions = Pick<EngineOptions, "maxBatch" | "cacheMemory" | "queue" | "chunk" | "draft">;

export interface EngineLimits {
  readonly maxBatch: number;
  readonly cacheMemory: number;
  readonly queue: number;
  readonly chunk: number;
}

/** Tokens of a text that default limits make room for. */
const USUAL_TEXT = 1024;
const MOST_DEFAULT = 2 * 2 ** 30;

/**
 * Room for texts of 1024 tokens, or of the context, in every sequence of a batch; at most 2 GiB, at least one text. For
 * recurrences also for the states of the batch, and for copies of them.
 */
function defaultCacheMemory(generation: PagedModel, maxBatch: number): number {
  const dense = bytesByAxis(generation).reduce((a, b) => a + b, 0);
  const { context } = generation;
  const text = wholePages(Math.min(context ?? USUAL_TEXT, USUAL_TEXT), generation) * dense;
  const whole = wholePages(context ?? USUAL_TEXT, generation) * dense;
  const pools = Math.max(whole, Math.min(MOST_DEFAULT, text * maxBatch));
  const state = stateBytes(generation);
  const copies = dense === 0 ? Math.max(state, Math.min(MOST_DEFAULT, 4 * maxBatch * state)) : 0;
  return memoryWith(generation, pools, maxBatch) + copies;
}

const wholePages = (tokens: number, { pages }: PagedModel): number => pages.page * Math.ceil(tokens / pages.page);

export const isPaged = (generation: Generation): generation is PagedModel => generation.pages !== undefined;

const whole = (name: "maxBatch" | "queue" | "chunk", value: number, least: number, most: number): number => {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new InputError(name, `${name} is ${value}: it must be a whole number from ${least} to ${most}`);
  return value;
};

/** The limits of a generation with caches in any layout. Throws InputError for options that it cannot have. */
export function limitsOf(generation: Generation, options: LimitOptions): EngineLimits {
  const { maxBatch = 1, cacheMemory, draft = "off", queue = 256 } = options;
  if (draft !== "off" && draft !== "routes")
    throw new InputError("draft", `draft must be "off" or "routes", found ${JSON.stringify(draft)}`);
  if (isPaged(generation)) return checkEngine(generation, options)[1];
  const given = { maxBatch: maxBatch > 1, cacheMemory: cacheMemory !== undefined, draft: draft !== "off" };
  const rows = generation.loopCaches
    ? "caches of the last loop alone are in rows"
    : takesInputs(generation)
      ? "a model with further inputs has caches in rows"
      : null;
  for (const [name, needsPages] of Object.entries(given))
    if (needsPages)
      throw rows
        ? new InputError(name, `${name} needs caches in pages, but ${rows}: requests take turns`, "leave it out")
        : new InputError(
            name,
            `${name} needs caches in pages, but this generation has them in rows`,
            'use the option `caches: "pages"` to compile it, or to open the session',
          );
  const { chunk } = checkOptions(generation, options);
  return { maxBatch: 1, cacheMemory: Infinity, queue: whole("queue", queue, 0, 1e6), chunk };
}

export function checkEngine(generation: Generation, options: LimitOptions): readonly [PagedModel, EngineLimits] {
  if (!isPaged(generation)) bug("the caches of this generation are not in pages");
  const paged = generation;
  const { pages } = paged;
  const [most, usual] = pages.slots ? [MOST_BATCH, 16] : [1, 1];
  const maxBatch = whole("maxBatch", options.maxBatch ?? usual, 1, most);
  const cacheMemory = options.cacheMemory ?? defaultCacheMemory(paged, maxBatch);
  const twoPages = 2 * bytesByAxis(paged).reduce((a, b) => a + b, 0) * pages.page;
  const least = memoryWith(paged, twoPages, maxBatch);
  if (!(Number.isSafeInteger(cacheMemory) && cacheMemory >= least))
    throw new InputError(
      "cacheMemory",
      `cacheMemory is ${cacheMemory}: it must be at least ${least} bytes, the keys and values of two pages of ` +
        `${pages.page} tokens` +
        (paged.states ? `, and the states of ${maxBatch} text${maxBatch === 1 ? "" : "s"} and copies of them` : ""),
      paged.states && maxBatch > 1 ? "give more, or lower maxBatch: each text has states" : null,
    );
  if (options.draft === "routes" && !mayDraft(paged))
    throw new InputError("draft", "the model has no routes that skip layers, so it cannot draft");
  const chunk = Math.min(whole("chunk", options.chunk ?? 256, 1, 4096), generation.context ?? 4096);
  return [paged, { maxBatch, cacheMemory, queue: whole("queue", options.queue ?? 256, 0, 1e6), chunk }];
}

/** Whether the rows of wrong guesses can be forgotten: the positions of all rows must be known. */
const mayDraft = ({ pages }: PagedModel): boolean =>
  pages.draft !== null && pages.axes.every(({ taken }, axis) => axis === 0 || taken !== null);

const MOST_BATCH = 1024;
