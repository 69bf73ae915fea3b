// Requests to an engine of many callers: their checks, and the sequence that each becomes.
import { toNumber } from "../../ground/numerics/rational.js";
import { InputError, type LiveValue } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import { checkLive } from "../../runtime/run/extents.js";
import type { EngineRequest } from "../types.js";
import { checkPrompts } from "./check.js";
import { checkDetails } from "./details.js";
import { CacheFullError } from "./errors.js";
import { type Settled, settled } from "./settled.js";

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
  experts: true,
  observe: true,
  signal: true,
};

/**
 * Checks a request; later changes of it have no effect. `limit`: tokens of a sequence that fit the caches; `wanted`:
 * those that were to fit. Throws InputError for a request that can never run, CacheFullError for one that the caches
 * were to hold, what a constraint throws that allows nothing, and the reason of its signal.
 */
export function settle(generation: Generation, request: EngineRequest, limit: number, wanted: number): Settled {
  const { prompt, maxTokens, sampling = {}, ends = [], live, constraint, signal, until } = request;
  for (const name of Object.keys(request))
    if (!Object.hasOwn(FIELDS, name)) throw new InputError(name, `a request has no ${name}`);
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 0)
    throw new InputError("maxTokens", `maxTokens is ${String(maxTokens)}: it must be a whole number from 0`);
  const [room] = checkPrompts(generation, [prompt], { ends, maxTokens: Math.max(1, maxTokens) });
  if (prompt.length > limit && prompt.length <= wanted) throw new CacheFullError();
  if (prompt.length > limit)
    throw new InputError(
      "prompt",
      `the prompt has ${prompt.length} tokens, the cache has room for a text of ${limit}`,
      "give the engine more cacheMemory",
    );
  checkDetails(generation, request);
  const kind = kindOf(generation, live, {});
  signal?.throwIfAborted();
  const most = maxTokens === 0 ? 0 : room!;
  const own = { prompt, maxTokens, most, until, live: live && { ...live }, kind, signal };
  return settled(own, generation.vocabulary, ends, sampling, constraint);
}

type Live = Readonly<Record<string, LiveValue>>;

/** Requests with equal live parameters are of one kind; with those of the programs, after `usual`, of the kind "". */
export function kindOf({ prompt }: Generation, live: Live | undefined, usual: Live | undefined): string {
  const defaults = checkLive(prompt, usual, null);
  return [...checkLive(prompt, live, defaults)]
    .map(([name, value]) => [name, toNumber(value)] as const)
    .filter(([name, value]) => toNumber(defaults.get(name)!) !== value)
    .map(([name, value]) => `${name}=${value}`)
    .join();
}
