// One request to an engine of many callers: its checks, and its stream, which keeps events until the caller reads them.
import { InputError } from "../../runtime/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import { notFinite } from "../sampling/not-finite.js";
import type { EngineRequest, Summary } from "../types.js";
import { checkPrompts } from "./check.js";
import type { Core } from "./core.js";
import { checkDetails, Details, kindOf, Observed } from "./details.js";
import { CacheFullError } from "./errors.js";
import { besideOf } from "./given.js";
import type { Report } from "./report.js";
import { type AddedToken, Sequence, type SequenceReader } from "./sequences/sequence.js";
import { type Settled, settled } from "./sequences/settled.js";
import { summaryOf, Timing, useOf } from "./summary.js";
import type { EngineEvent, EngineStream, RequestUse } from "./types.js";

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
  inputs: true,
  lengths: true,
  next: true,
};

/**
 * Checks a request; later changes of it have no effect. `limit`: tokens of a sequence that fit the caches; `wanted`:
 * those that were to fit. Throws InputError for a request that can never run, CacheFullError for one that the caches
 * were to hold, what a constraint throws that allows nothing, and the reason of its signal.
 */
function settle(generation: Generation, request: EngineRequest, limit: number, wanted: number): Settled {
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
  const { given, rows } = besideOf(generation, { prompts: [prompt], most: [most] }, request);
  const own = {
    prompt,
    maxTokens,
    most,
    until,
    live: live && { ...live },
    kind,
    signal,
    given,
    beside: rows[0] ?? null,
  };
  return settled(own, generation.vocabulary, ends, sampling, constraint);
}

export class RequestStream implements EngineStream, SequenceReader {
  readonly sequence: Sequence;
  readonly scores: boolean;
  readonly scoresPrompt: boolean;
  readonly observer: Observed | null;
  readonly #core: Core;
  readonly #request: EngineRequest;
  readonly #report: Report;
  readonly #details: Details;
  readonly #timing: Timing;
  /** The rows after the prompt, by axis; empty before it was read. */
  #promptRows: readonly (readonly number[])[] = [];
  readonly #held: EngineEvent[] = [];
  readonly #began = performance.now();
  #lastToken = this.#began;
  #wake: (() => void) | null = null;
  #over: { readonly error: unknown } | "ended" | null = null;

  /**
   * Checks the request, as `settle` with the caches of the core, and listens to its signal. `wanted`: tokens of a
   * sequence that were to fit the caches.
   */
  constructor(core: Core, request: EngineRequest, wanted: number, report: Report) {
    const { generation, caches } = core.opened;
    const own = settle(generation, request, caches.limit, wanted);
    [this.#core, this.#request, this.#report] = [core, request, report];
    const opened = (): Core["opened"] => core.opened;
    this.observer = request.experts || request.observe ? new Observed(request, opened) : null;
    this.#details = new Details(request, opened, this.observer);
    ({ scores: this.scores, scoresPrompt: this.scoresPrompt } = this.#details);
    this.#timing = new Timing(() => core.compiling);
    this.sequence = new Sequence(own, this, generation.axes.length, caches.limit);
    this.observer?.members.push(this.sequence);
    request.signal?.addEventListener("abort", this.cancel, { once: true });
  }

  get use(): RequestUse {
    return useOf(this.#core.opened.generation, this.sequence);
  }

  get summary(): Summary {
    const log = this.observer?.log;
    const summary = summaryOf(this.#core.opened, [this.sequence], this.#promptRows, this.#timing);
    return { ...summary, ...(log && { experts: log.use }) };
  }

  taken(): ReturnType<EngineStream["taken"]> {
    return this.#details.taken(this.sequence);
  }

  /** Aborts the request, with the reason of its signal if that is aborted. */
  readonly cancel = (): void => {
    const reason: unknown = this.#request.signal?.reason;
    this.#core.fail(this.sequence, reason ?? new DOMException("the request was cancelled", "AbortError"));
  };

  /** The signal is no longer listened to. */
  forget(): void {
    this.#request.signal?.removeEventListener("abort", this.cancel);
  }

  began(): void {
    this.#report("began", performance.now() - this.#began);
  }

  read(...given: Parameters<Details["read"]>): void {
    this.#details.read(...given);
  }

  prompt(sequence: Sequence): void {
    const read = this.#details.prompt(sequence);
    if (!read) return;
    this.#timing.first();
    this.#promptRows = [sequence.rows];
    this.#push(read);
  }

  token(added: AddedToken): void {
    const { index, token, depth, routes, finish } = added;
    const details = { score: this.#details.scoreOf(added), depth, routes, ...this.#details.expertsOf(added) };
    this.#push({ kind: "token", index, token, ...details, finish });
    this.#timing.token();
    const now = performance.now();
    if (index === 0) this.#report("firstToken", now - this.#began);
    else this.#report("nextToken", now - this.#lastToken);
    this.#lastToken = now;
  }

  notFinite({ read }: Sequence): Error {
    const fault = notFinite(read, null);
    return this.#request.live ? new InputError("live", `with these values ${fault.message}`) : fault;
  }

  #push(event: EngineEvent): void {
    if (this.#over !== null) return;
    this.#held.push(event);
    this.#wake?.();
  }

  /** Ends the stream after the events that are held. */
  end(): void {
    this.forget();
    this.#over ??= "ended";
    this.#wake?.();
  }

  fail(error: unknown): void {
    this.#over ??= { error };
    this.#wake?.();
  }

  [Symbol.asyncIterator](): AsyncGenerator<EngineEvent, void> {
    const events = this.#events();
    const leave = events.return.bind(events);
    // One that is left before its first event has run nothing that would notice.
    events.return = (value) => {
      if (this.#over === null) this.cancel();
      return leave(value);
    };
    return events;
  }

  async *#events(): AsyncGenerator<EngineEvent, void> {
    try {
      for (;;) {
        const next = this.#held.shift();
        if (next) yield next;
        else if (this.#over === "ended") return;
        else if (this.#over) throw this.#over.error;
        else await new Promise<void>((resolve) => (this.#wake = resolve));
        this.#wake = null;
      }
    } finally {
      if (this.#over === null) this.cancel();
    }
  }
}
