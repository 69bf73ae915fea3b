// The engine's interface over a generator, one request at a time: what each text is alone. Scores are from one pass
// over the whole text.
import {
  EngineClosedError,
  QueueFullError,
  type Engine,
  type EngineEvent,
  type EngineModel,
  type EngineRequest,
  type EngineStream,
  type EngineToken,
  type RequestUse,
  type Scored,
} from "../../../src/generation/engine/index.js";
import { compile } from "../../../src/compiler/compile.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { checkPrompts } from "../../../src/generation/engine/check.js";
import { samplingTables, type SamplingOptions } from "../../../src/generation/sampling/options.js";
import { createGenerator, type GeneratedToken, type Generator } from "../../../src/generation/generate/index.js";
import { layersOn } from "../../../src/generation/engine/summary.js";
import { load, type Device, type Session, type WeightsInput } from "../../../src/runtime/index.js";

export interface SerialParts {
  readonly generator: Generator;
  /** The model's program of phase generate, which gives the logits of a whole text by the causal rule. */
  readonly scorer: Session;
  /** The most requests that wait. */
  readonly queue?: number;
}

export class SerialEngine implements Engine {
  readonly model: EngineModel;
  readonly parts: SerialParts;
  /** Resolves when the requests before have ended. */
  #last: Promise<unknown> = Promise.resolve();
  #under = 0;
  #closed = false;

  constructor(parts: SerialParts) {
    this.parts = parts;
    const { generation } = parts.generator;
    const layers = layersOn(generation);
    this.model = {
      vocabulary: generation.vocabulary,
      context: generation.context,
      routes: generation.axes.map(({ path }, i) => ({ path, layers: layers[i]! })),
      live: [],
      inputs: [],
    };
  }

  submit(request: EngineRequest): EngineStream {
    if (this.#closed) throw new EngineClosedError();
    const { generation } = this.parts.generator;
    checkPrompts(generation, [request.prompt], { maxTokens: Math.max(1, request.maxTokens) });
    samplingTables(deviceSampling(request), generation.vocabulary);
    if (this.#under > (this.parts.queue ?? 256)) throw new QueueFullError(this.#under - 1, 1);
    this.#under++;
    const stream = new SerialStream(this.parts, this.model, request, this.#last);
    this.#last = stream.ended.finally(() => this.#under--);
    return stream;
  }

  get state(): Engine["state"] {
    const active = Math.min(1, this.#under);
    const streams = { own: 1, dense: 1 };
    return {
      active,
      queued: this.#under - active,
      lost: 0,
      ready: true,
      cache: { used: 0, kept: 0, free: 0, limit: 0, streams },
    };
  }

  async drain(): Promise<void> {
    this.#closed = true;
    await this.#last;
  }

  async close(): Promise<void> {
    await this.drain();
    this.parts.generator.dispose();
    this.parts.scorer.dispose();
  }
}

/** Opens a model on a device, with the program that scores whole texts of at most `longest` tokens. */
export async function serialEngine(
  source: string,
  device: Device,
  weights: WeightsInput,
  longest: number,
): Promise<SerialEngine> {
  const { generation } = compileGeneration(source, { target: device.target });
  const { program } = compile(source, { phase: "generate", target: device.target });
  if (!generation || !program) throw new Error("the model does not compile");
  const generator = await createGenerator(generation, device, weights);
  const max = { [generation.batchAxis]: 1, [generation.tokenAxis]: longest };
  return new SerialEngine({ generator, scorer: await load(program, device, weights, { max }) });
}

const deviceSampling = ({ sampling = {} }: EngineRequest): SamplingOptions => {
  const { presencePenalty: _presence, frequencyPenalty: _frequency, ...own } = sampling;
  return own;
};

class SerialStream implements EngineStream {
  readonly #parts: SerialParts;
  readonly #model: EngineModel;
  readonly #request: EngineRequest;
  readonly #stop = new AbortController();
  readonly #ready: EngineEvent[] = [];
  #wake = (): void => {};
  #fault: { readonly reason: unknown } | null = null;
  #done = false;
  #generated: number[] = [];
  readonly ended: Promise<void>;

  constructor(parts: SerialParts, model: EngineModel, request: EngineRequest, before: Promise<unknown>) {
    [this.#parts, this.#model, this.#request] = [parts, model, request];
    request.signal?.addEventListener("abort", () => this.#stop.abort(request.signal!.reason));
    this.ended = this.#begin(before);
  }

  async #begin(before: Promise<unknown>): Promise<void> {
    await before;
    try {
      this.#stop.signal.throwIfAborted();
      await this.#run();
    } catch (reason) {
      this.#fault = { reason };
    }
    this.#done = true;
    this.#wake();
  }

  get use(): RequestUse {
    const summary = this.#parts.generator.summary;
    const tokens = this.#request.prompt.length + this.#generated.length;
    return {
      promptTokens: this.#request.prompt.length,
      cachedTokens: 0,
      generatedTokens: this.#generated.length,
      routes: summary?.routes.map((route) => route.tokens) ?? this.#model.routes.map(() => 0),
      flops: { own: (summary?.flops?.own ?? 0) * tokens, dense: (summary?.flops?.dense ?? 0) * tokens },
      cache: { own: summary?.cache.used ?? 0, dense: summary?.cache.dense ?? 0 },
    };
  }

  get summary(): never {
    throw new Error("nobody asks for it");
  }

  taken(): never {
    throw new Error("nobody asks for it");
  }

  cancel(): void {
    this.#stop.abort(new DOMException("cancelled", "AbortError"));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<EngineEvent, void> {
    try {
      for (;;) {
        yield* this.#ready.splice(0);
        if (this.#ready.length > 0) continue;
        if (this.#fault) throw this.#fault.reason;
        if (this.#done) return;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.cancel();
    }
  }

  #tell(event: EngineEvent): void {
    this.#ready.push(event);
    this.#wake();
  }

  /** What tells of the prompt waits for its routes, which are known at the end, and scores for the whole text. */
  async #run(): Promise<void> {
    const { logprobs = null, promptLogprobs = null, promptRoutes = false, maxTokens, prompt } = this.#request;
    const late = logprobs !== null || promptLogprobs !== null || promptRoutes;
    const read = { kind: "prompt", tokens: prompt.length, cached: 0, scores: null, routes: null } as const;
    if (!late) this.#tell(read);
    const tokens: GeneratedToken[] = [];
    if (maxTokens > 0)
      for await (const token of this.#tokens()) {
        this.#generated.push(token.token);
        tokens.push(token);
        if (!late) this.#tell({ kind: "token", ...told(token), score: null });
      }
    if (!late) return;
    const n = Math.max(logprobs ?? 0, promptLogprobs ?? 0);
    const scores = await this.#scores(n);
    const own = (score: Scored | null, most: number | null): Scored | null =>
      score && most !== null ? { ...score, top: score.top.slice(0, most) } : null;
    const place = prompt.length;
    this.#tell({
      ...read,
      scores: promptLogprobs === null ? null : scores.slice(0, place).map((score) => own(score, promptLogprobs)),
      routes: promptRoutes ? await this.#routes() : null,
    });
    for (const [i, token] of tokens.entries())
      this.#tell({ kind: "token", ...told(token), score: own(scores[place + i]!, logprobs) });
  }

  /** With penalties each token is a generation of its own, whose biases are what is generated so far. */
  async *#tokens(): AsyncGenerator<GeneratedToken, void> {
    const { prompt, maxTokens, ends = [], until, sampling } = this.#request;
    const { presencePenalty = 0, frequencyPenalty = 0 } = sampling ?? {};
    const own = deviceSampling(this.#request);
    const options = { ends, signal: this.#stop.signal, until: (_: number, token: number) => until?.(token) ?? false };
    const { generator } = this.#parts;
    if (presencePenalty === 0 && frequencyPenalty === 0) {
      yield* generator.generate([prompt], { ...options, sampling: own, maxTokens });
      return;
    }
    for (let index = 0; index < maxTokens; index++) {
      const bias = new Map(biasesOf(own));
      for (const token of new Set(this.#generated)) {
        const times = this.#generated.filter((other) => other === token).length;
        bias.set(token, (bias.get(token) ?? 0) - presencePenalty - frequencyPenalty * times);
      }
      const text = [...Array.from(prompt), ...this.#generated];
      const next = generator.generate([text], { ...options, sampling: { ...own, logitBias: bias }, maxTokens: 1 });
      for await (const token of next) {
        const full = text.length === generator.generation.context && index + 1 < maxTokens;
        const ended = token.finish === "end" || token.finish === "stop" || index + 1 === maxTokens;
        yield { ...token, index, finish: ended ? token.finish : full ? "context" : null };
        if (ended || full) return;
      }
    }
  }

  /** The log-probability of each token of the text but the first, and the n likeliest in its place. */
  async #scores(n: number): Promise<readonly (Scored | null)[]> {
    const text = [...Array.from(this.#request.prompt), ...this.#generated];
    const results = await this.#parts.scorer.run({ [this.#parts.generator.generation.input]: [text] });
    const [output] = Object.values(results);
    const { data, shape } = output!;
    const width = shape.at(-1)!;
    return text.map((token, i) => {
      if (i === 0) return null;
      const logits = Array.from(data.subarray((i - 1) * width, i * width));
      const largest = Math.max(...logits);
      const log = largest + Math.log(logits.reduce((sum, x) => sum + Math.exp(x - largest), 0));
      const top = logits.map((x, other) => ({ token: other, logprob: x - log })).sort((a, b) => b.logprob - a.logprob);
      return { logprob: logits[token]! - log, top: top.slice(0, n) };
    });
  }

  /** Whether each token of the prompt took each route. */
  async #routes(): Promise<readonly (readonly boolean[])[]> {
    const taken = await this.#parts.generator.taken();
    const places = taken.map((route) => route && new Set(route[0]));
    return Array.from(this.#request.prompt, (_, at) => places.map((route) => route?.has(at) ?? true));
  }
}

const told = ({ index, token, depth, routes, finish }: GeneratedToken): Omit<EngineToken, "kind" | "score"> => ({
  index,
  token,
  depth,
  routes,
  finish,
});

const biasesOf = ({ logitBias = {} }: SamplingOptions): readonly (readonly [number, number])[] =>
  logitBias instanceof Map
    ? [...logitBias]
    : Object.entries(logitBias).map(([token, value]) => [Number(token), value as number]);
