// Requests: what is asked of them before they are taken, and the sequence that each becomes.
import { toNumber } from "../../ground/numerics/rational.js";
import { InputError } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import { checkLive } from "../../runtime/run/extents.js";
import { checkPrompts } from "./check.js";
import { type SamplingOptions, samplingTables, type SamplingTables } from "../sampling/options.js";
import type { Caches } from "./caches/caches.js";
import { CacheFullError } from "./errors.js";
import { type EventSink, Sequence, type Settled } from "./sequence.js";
import type { EngineRequest, RequestSampling } from "./types.js";

/** A request, and whether the device computes the log-probabilities of its tokens. */
export interface SequenceRequest extends Omit<EngineRequest, "sampling"> {
  readonly sampling?: RequestSampling & Pick<SamplingOptions, "logprobs">;
}

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
function tablesOf(sampling: SequenceRequest["sampling"], vocabulary: number): SamplingTables {
  const { presencePenalty: _, frequencyPenalty: __, ...own } = sampling ?? {};
  return samplingTables(own, 1, vocabulary);
}

/** Checks a request. Returns the most tokens to generate within the context, and its row of the tables of sampling. */
function checkRequest(
  generation: Generation,
  request: SequenceRequest,
  { limit, wanted }: Fit,
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
  if (!generation.pages && (promptLogprobs ?? null) !== null)
    throw new InputError(
      "promptLogprobs",
      "scores of a prompt need caches in pages",
      'compile it with `caches: "pages"`',
    );
  return {
    most: maxTokens === 0 ? 0 : room!,
    tables: tablesOf(sampling, generation.vocabulary),
  };
}

/** The most alternatives that a request may ask for. */
const MOST_LIKELY = 100;

/** Requests with equal live parameters are of one kind: those at their defaults of the kind "". */
function kindOf({ prompt }: Generation, live: EngineRequest["live"]): string {
  const defaults = checkLive(prompt, {}, null);
  const changed = [...checkLive(prompt, live, null)].filter(
    ([name, value]) => toNumber(defaults.get(name)!) !== toNumber(value),
  );
  return changed.map(([name, value]) => `${name}=${toNumber(value)}`).join();
}

/** Tokens of a sequence that fit the caches, and that were to fit. */
export interface Fit {
  readonly limit: number;
  readonly wanted: number;
}

/**
 * The sequence of a request; later changes of the request have no effect. `fail`: called when it is aborted. Throws
 * InputError for a request that can never run, CacheFullError for one that the caches were to hold, what a constraint
 * throws that allows nothing, and the reason of its signal.
 */
export function sequenceOf(
  generation: Generation,
  given: SequenceRequest,
  { positions }: Pick<Caches, "positions">,
  fit: Fit,
  sink: EventSink,
  fail: (error: unknown) => void,
  takesNaN = false,
): Sequence {
  const request = { ...given, ...(given.sampling && { sampling: { ...given.sampling } }) };
  if (given.live) request.live = { ...given.live };
  const { most, tables } = checkRequest(generation, request, fit);
  const { signal, constraint } = request;
  constraint?.next();
  signal?.throwIfAborted();
  const cancel = (): void => fail(signal?.reason ?? new DOMException("the request was cancelled", "AbortError"));
  signal?.addEventListener("abort", cancel, { once: true });
  const settled: Settled = {
    request,
    most,
    kind: kindOf(generation, request.live),
    tables,
    ends: new Set(request.ends ?? []),
    takesNaN,
    cancel,
    forget: () => signal?.removeEventListener("abort", cancel),
    began: performance.now(),
  };
  return new Sequence(
    settled,
    fit.limit,
    positions.map((name) => name !== null),
    sink,
  );
}
