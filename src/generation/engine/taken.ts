// A request that was taken, as the text that it becomes.
import { checkRequest, kindOf, type Paged } from "./options.js";
import { Sequence } from "./sequence.js";
import { EventStream } from "./stream.js";
import type { EngineRequest } from "./types.js";
import { useOf } from "./use.js";

/**
 * What the caller changes in the request afterwards is not heeded. Throws InputError for a request that can never run,
 * CacheFullError for one that the cache was to hold, and the reason of its signal. `limit`: tokens of a text that fit
 * the cache; `wanted`: that were to fit. `fail`: called when the request is aborted.
 */
export function taken(
  paged: Paged,
  given: EngineRequest,
  [limit, wanted]: readonly [number, number],
  fail: (sequence: Sequence, reason: unknown) => void,
): Sequence {
  const request = { ...given, ...(given.sampling && { sampling: { ...given.sampling } }) };
  if (given.live) request.live = { ...given.live };
  const { most, tables } = checkRequest(paged, request, limit, wanted);
  const { signal, constraint } = request;
  constraint?.next(); // one that allows nothing is refused
  signal?.throwIfAborted();
  const abort = (): void =>
    fail(sequence, signal?.reason ?? new DOMException("the request was cancelled", "AbortError"));
  const stream = new EventStream(() => useOf(paged, sequence), abort);
  const forget = (): void => signal?.removeEventListener("abort", abort);
  const ends = new Set(request.ends ?? []);
  const kind = kindOf(paged, request.live);
  const settled = { request, most, kind, tables, ends, forget, began: performance.now() };
  const keepsPositions = paged.pages.axes.map((axis) => axis.taken !== null);
  const sequence = new Sequence(settled, limit, keepsPositions, stream);
  signal?.addEventListener("abort", abort, { once: true });
  return sequence;
}
