// Requests to an engine of many callers: their checks, and the sequence that each becomes.
import { toNumber } from "../../ground/numerics/rational.js";
import { InputError } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import { checkLive } from "../../runtime/run/extents.js";
import { constrained } from "../sampling/constrained.js";
import { samplingTables } from "../sampling/options.js";
import { penalised } from "../sampling/penalties.js";
import { checkPrompts } from "./check.js";
import { CacheFullError } from "./errors.js";
import type { Settled } from "./sequence.js";
import type { EngineRequest } from "./types.js";

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

/** The most alternatives that a request may ask for. */
const MOST_LIKELY = 100;

/**
 * Checks a request; later changes of it have no effect. `limit`: tokens of a sequence that fit the caches; `wanted`:
 * those that were to fit. Throws InputError for a request that can never run, CacheFullError for one that the caches
 * were to hold, what a constraint throws that allows nothing, and the reason of its signal.
 */
export function settle(generation: Generation, request: EngineRequest, limit: number, wanted: number): Settled {
  const { prompt, maxTokens, logprobs, promptLogprobs, live, constraint, signal, until } = request;
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
  const { presencePenalty = 0, frequencyPenalty = 0, ...sampling } = request.sampling ?? {};
  for (const [name, value] of Object.entries({ presencePenalty, frequencyPenalty }))
    if (!(value >= -2 && value <= 2))
      throw new InputError(name, `${name} must be from −2 to 2, found ${String(value)}`);
  for (const [name, n] of Object.entries({ logprobs, promptLogprobs }))
    if ((n ?? null) !== null && !(Number.isSafeInteger(n) && n! >= 0 && n! <= MOST_LIKELY))
      throw new InputError(name, `${name} must be a whole number from 0 to ${MOST_LIKELY}, found ${String(n)}`);
  const kind = kindOf(generation, live);
  const { vocabulary } = generation;
  const tables = samplingTables(sampling, vocabulary);
  const ends = new Set(request.ends ?? []);
  constraint?.next();
  signal?.throwIfAborted();
  const penalties = penalised(presencePenalty, frequencyPenalty, tables.bias, vocabulary);
  const others = penalties ?? { all: () => tables.bias, add: () => false };
  return {
    prompt,
    maxTokens,
    most: maxTokens === 0 ? 0 : room!,
    ends,
    until,
    tables,
    biases: constraint ? constrained(constraint, ends, others, vocabulary) : penalties,
    live: live && { ...live },
    kind,
    signal,
  };
}

/** Requests with equal live parameters are of one kind: those at their defaults of the kind "". */
function kindOf({ prompt }: Generation, live: EngineRequest["live"]): string {
  const changed = checkLive(prompt, live, null);
  const defaults = checkLive(prompt, {}, null);
  return [...changed]
    .map(([name, value]) => [name, toNumber(value)] as const)
    .filter(([name, value]) => toNumber(defaults.get(name)!) !== value)
    .map(([name, value]) => `${name}=${value}`)
    .join();
}
