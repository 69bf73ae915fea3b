// The stream of one request: events are kept until the caller reads them.
import { InputError, type Results } from "../../runtime/index.js";
import { notFinite } from "../sampling/not-finite.js";
import { scoreOf } from "../sampling/scores.js";
import type { PagedCaches } from "./caches/paged.js";
import type { Report } from "./report.js";
import type { AddedToken, Sequence, SequenceReader } from "./sequence.js";
import type { EngineEvent, EngineRequest, EngineStream, PromptRead, RequestUse, Scored } from "./types.js";

export interface StreamParts {
  readonly request: EngineRequest;
  /** The caches that have the sequence now. */
  readonly caches: () => PagedCaches;
  readonly report: Report;
  readonly use: () => RequestUse;
  /** Ends the sequence without a finish. */
  readonly abort: (reason: unknown) => void;
}

export class RequestStream implements EngineStream, SequenceReader {
  readonly scores: boolean;
  readonly scoresPrompt: boolean;
  readonly #parts: StreamParts;
  readonly #held: EngineEvent[] = [];
  readonly #began = performance.now();
  #lastToken = this.#began;
  #promptReported = false;
  readonly #promptScores: (Scored | null)[] = [null];
  #wake: (() => void) | null = null;
  #over: { readonly error: unknown } | "ended" | null = null;

  /** Listens to the signal of the request. */
  constructor(parts: StreamParts) {
    this.#parts = parts;
    const { logprobs, promptLogprobs, signal } = parts.request;
    this.scores = (logprobs ?? null) !== null;
    this.scoresPrompt = (promptLogprobs ?? null) !== null;
    signal?.addEventListener("abort", this.cancel, { once: true });
  }

  get use(): RequestUse {
    return this.#parts.use();
  }

  /** Aborts the request, with the reason of its signal if that is aborted. */
  readonly cancel = (): void => {
    const { request, abort } = this.#parts;
    abort(request.signal?.reason ?? new DOMException("the request was cancelled", "AbortError"));
  };

  /** The signal is no longer listened to. */
  forget(): void {
    this.#parts.request.signal?.removeEventListener("abort", this.cancel);
  }

  began(): void {
    this.#parts.report("began", performance.now() - this.#began);
  }

  /** Scores tokens of the prompt, in their order. Those that are read again are ignored. */
  read({ read, tokens, promptLength }: Sequence, results: Results, row: number, length: number): void {
    if (!this.scoresPrompt) return;
    const { caches, request } = this.#parts;
    const { model } = caches();
    const { data, shape } = results[model.pages.allLogits]!;
    const { vocabulary } = model;
    for (let i = 0; i < length; i++) {
      const at = read - length + i + 1;
      if (at >= promptLength) return;
      if (at !== this.#promptScores.length) continue;
      const offset = (row * shape[1]! + i) * vocabulary;
      this.#promptScores.push(scoreOf(data, offset, vocabulary, tokens[at]!, request.promptLogprobs!));
    }
  }

  prompt(sequence: Sequence): void {
    if (this.#promptReported) return;
    this.#promptReported = true;
    this.#push({
      kind: "prompt",
      tokens: sequence.promptLength,
      cached: sequence.cached ?? 0,
      scores: this.scoresPrompt ? this.#promptScores : null,
      routes: this.#parts.request.promptRoutes ? this.#promptRoutes(sequence) : null,
    });
  }

  /** For each token of the prompt and each axis, whether the token took it; never, of an axis that keeps no positions. */
  #promptRoutes(sequence: Sequence): PromptRead["routes"] {
    const sets = this.#parts
      .caches()
      .takenBy(sequence)
      .map((own) => own && new Set(own));
    return Array.from({ length: sequence.promptLength }, (_, at) =>
      sets.map((own, axis) => axis === 0 || (own?.has(at) ?? false)),
    );
  }

  token({ index, token, depth, routes, finish, logits, row }: AddedToken): void {
    const { caches, request, report } = this.#parts;
    const { vocabulary } = caches().model;
    const score = this.scores ? scoreOf(logits!.data, row * vocabulary, vocabulary, token, request.logprobs!) : null;
    this.#push({ kind: "token", index, token, score, depth, routes, finish });
    const now = performance.now();
    if (index === 0) report("firstToken", now - this.#began);
    else report("nextToken", now - this.#lastToken);
    this.#lastToken = now;
  }

  notFinite({ read }: Sequence): Error {
    const fault = notFinite(read, null);
    return this.#parts.request.live ? new InputError("live", `with these values ${fault.message}`) : fault;
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
