// An engine with scripted answers: for tests of the wire, where the model is not the point.
import {
  EngineClosedError,
  QueueFullError,
  type Engine,
  type EngineEvent,
  type EngineModel,
  type EngineObserver,
  type EngineRequest,
  type EngineStream,
  type EngineToken,
  type RequestUse,
  type Scored,
} from "../../../src/generation/engine/index.js";

export interface Script {
  /** The tokens that follow a request, as many as are asked for. */
  readonly says: (request: EngineRequest) => readonly number[];
  readonly model?: Partial<EngineModel>;
  /** Requests at once; beyond them the queue is full. */
  readonly most?: () => number;
  /** Awaited before each token. */
  readonly before?: (request: EngineRequest, index: number) => Promise<void> | void;
  readonly observer?: EngineObserver;
}

/** Scores computed from the token, so that tests can check them. */
export const scoreOf = (token: number, n: number): Scored => ({
  logprob: -0.125 - (token % 16) / 8,
  top: Array.from({ length: n }, (_, i) => ({ token: (token + i) % 256, logprob: -0.125 - (token % 16) / 8 - i })),
});

export class ScriptedEngine implements Engine {
  readonly model: EngineModel;
  readonly requests: EngineRequest[] = [];
  readonly streams: ScriptedStream[] = [];
  active = 0;
  closed = false;
  readonly script: Script;

  constructor(script: Script) {
    this.script = script;
    this.model = {
      vocabulary: 256,
      context: 64,
      routes: [
        { path: "", layers: 2 },
        { path: "layers.1.chosen", layers: 1 },
      ],
      live: ["capacity"],
      inputs: [],
      ...script.model,
    };
  }

  submit(request: EngineRequest): EngineStream {
    if (this.closed) throw new EngineClosedError();
    if (this.active >= (this.script.most?.() ?? Infinity)) throw new QueueFullError(this.active, 0.7);
    this.requests.push(request);
    this.active++;
    const stream = new ScriptedStream(this, request);
    this.streams.push(stream);
    return stream;
  }

  get state(): Engine["state"] {
    const streams = { own: 6, dense: 4 };
    return {
      active: this.active,
      queued: 0,
      lost: 0,
      ready: true,
      cache: { used: 10, kept: 20, free: 70, limit: 100, streams },
    };
  }

  async drain(): Promise<void> {
    this.closed = true;
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

class ScriptedStream implements EngineStream {
  readonly #engine: ScriptedEngine;
  readonly #request: EngineRequest;
  #generated = 0;
  cancelled = false;
  ended = false;

  constructor(engine: ScriptedEngine, request: EngineRequest) {
    this.#engine = engine;
    this.#request = request;
    request.signal?.addEventListener("abort", () => (this.cancelled = true));
  }

  get use(): RequestUse {
    const [promptTokens, generatedTokens] = [this.#request.prompt.length, this.#generated];
    return {
      promptTokens,
      cachedTokens: 1,
      generatedTokens,
      routes: [promptTokens + generatedTokens, generatedTokens],
      flops: { own: 100, dense: 200 },
      cache: { own: 10, dense: 40 },
    };
  }

  get summary(): never {
    throw new Error("nobody asks for it");
  }

  taken(): never {
    throw new Error("nobody asks for it");
  }

  cancel(): void {
    this.cancelled = true;
    this.#end();
  }

  #end(): void {
    if (this.ended) return;
    this.ended = true;
    this.#engine.active--;
    this.#engine.script.observer?.ended?.(this.cancelled ? "cancelled" : "finished", this.use);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<EngineEvent, void> {
    const { prompt, maxTokens, logprobs = null, promptLogprobs = null, promptRoutes, ends = [] } = this.#request;
    const { observer, before, says } = this.#engine.script;
    try {
      const tokens = Array.from(prompt);
      observer?.began?.(1);
      observer?.ran?.({ kind: "prompt", sequences: 1, tokens: tokens.length, milliseconds: 1 });
      yield {
        kind: "prompt",
        tokens: tokens.length,
        cached: 1,
        scores:
          promptLogprobs === null ? null : tokens.map((token, i) => (i === 0 ? null : scoreOf(token, promptLogprobs))),
        routes: promptRoutes ? tokens.map((token) => [true, token % 2 === 0]) : null,
      };
      const said = says(this.#request);
      for (let index = 0; index < maxTokens && index < said.length; index++) {
        await before?.(this.#request, index);
        this.#request.signal?.throwIfAborted();
        // As the engine's own.
        if (this.cancelled) throw this.#request.signal?.reason ?? new DOMException("it was cancelled", "AbortError");
        const token = said[index]!;
        this.#generated++;
        if (index === 0) observer?.firstToken?.(3);
        else observer?.nextToken?.(2);
        const finish: EngineToken["finish"] = ends.includes(token)
          ? "end"
          : this.#request.until?.(token)
            ? "stop"
            : index + 1 === maxTokens
              ? "length"
              : index + 1 === said.length
                ? "context"
                : null;
        yield {
          kind: "token",
          index,
          token,
          score: logprobs === null ? null : scoreOf(token, logprobs),
          depth: index === 0 ? null : 2 + (said[index - 1]! % 2 === 0 ? 1 : 0),
          routes: index === 0 ? null : [true, said[index - 1]! % 2 === 0],
          finish,
        };
        if (finish !== null) return;
      }
    } finally {
      this.#end();
    }
  }
}
