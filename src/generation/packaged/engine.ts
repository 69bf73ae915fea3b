// The engine of a built package: each call's prompts become requests, so that calls at once share runs. A separate part
// of the runtime, for packages that were built for several callers.
import { merged } from "../../ground/base/merged.js";
import { createEngine } from "../engine/engine.js";
import { EngineClosedError } from "../engine/errors.js";
import type { Engine, EngineEvent, EngineRequest, EngineStream, EngineToken } from "../engine/types.js";
import { checkPrompts } from "../engine/check.js";
import { perSequence } from "../sampling/options.js";
import { flopsBetween, Timing } from "../generate/summary.js";
import type { GeneratedToken, GenerateOptions, Summary } from "../types.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Device } from "../../runtime/device/device.js";
import { DisposedError, InputError } from "../../runtime/device/errors.js";
import { checkLive } from "../../runtime/run/extents.js";
import type { WeightsInput } from "../../runtime/weights/input.js";
import { toNumber } from "../../ground/numerics/rational.js";
import type { BatchOptions, TextGenerator } from "./text-generator.js";

/** Loads the programs of a generation with caches in pages. Throws what `createEngine` throws. */
export async function openBatch(
  generation: Generation,
  device: Device,
  weights: WeightsInput,
  { live, ...options }: BatchOptions,
): Promise<TextGenerator> {
  const values =
    live && [...checkLive(generation.prompt, live, null)].map(([name, value]) => [name, toNumber(value)] as const);
  let compiling = 0;
  const engine = await createEngine(generation, device, weights, {
    ...options,
    recover: null,
    queue: MOST_WAITING,
    observer: { ran: (run) => (compiling = run.compiling ?? compiling) },
  });
  return new BatchGenerator(generation, engine, values && Object.fromEntries(values), () => compiling);
}

/** Calls wait, as they do for their turns without an engine. */
const MOST_WAITING = 1e6;

class BatchGenerator implements TextGenerator {
  readonly generation: Generation;
  readonly #engine: Engine;
  readonly #live: EngineRequest["live"];
  readonly #compiled: () => number;
  #disposed = false;

  constructor(generation: Generation, engine: Engine, live: EngineRequest["live"], compiled: () => number) {
    this.generation = generation;
    this.#engine = engine;
    this.#live = live;
    this.#compiled = compiled;
  }

  /** As `Generator.generate`, for any number of calls at once. */
  async *generate(
    prompts: readonly ArrayLike<number>[],
    options: GenerateOptions = {},
  ): AsyncGenerator<GeneratedToken, Summary> {
    if (this.#disposed) throw new DisposedError();
    const most = checkPrompts(this.generation, prompts, options);
    if (options.observe)
      throw new InputError(
        "observe",
        "the option observe is not supported in a package for several callers",
        "build the package without --max-batch",
      );
    const sampling = perSequence(options.sampling ?? {}, prompts.length);
    const timing = new Timing(this.#compiled);
    const streams: EngineStream[] = [];
    /** By route, tokens that steps have read. */
    const added = this.generation.axes.map(() => 0);
    try {
      for (const [i, prompt] of prompts.entries()) {
        const { logprobs, ...own } = sampling[i]!;
        const stream = this.#engine.submit({
          prompt,
          sampling: own,
          // One more than there is room for: the text ends with the context.
          maxTokens: options.maxTokens ?? most[i]! + 1,
          ...(this.#live && { live: this.#live }),
          ...(logprobs && { logprobs: 0 }),
          ...(options.ends && { ends: options.ends }),
          ...(options.constraints && { constraint: options.constraints[i]! }), // one for each prompt
          ...(options.until && { until: (token: number) => options.until!(i, token) }),
          ...(options.signal && { signal: options.signal }),
        });
        streams.push(stream);
      }
      let first = true;
      for await (const { sequence, event } of merged(streams.map(numbered))) {
        if (event.kind === "prompt") continue;
        if (first) timing.first();
        else timing.token();
        first = false;
        const token = tokenOf(sequence, event, prompts[sequence]!.length);
        token.routes?.forEach((took, i) => (added[i]! += Number(took)));
        yield token;
      }
    } catch (error) {
      throw error instanceof EngineClosedError ? new DisposedError() : error;
    } finally {
      for (const stream of streams) stream.cancel();
    }
    return this.#summary(streams, added, timing);
  }

  #summary(streams: readonly EngineStream[], added: readonly number[], timing: Timing): Summary {
    const { axes, layers, pages, step } = this.generation;
    const uses = streams.map(({ use }) => use);
    const sum = (of: (use: (typeof uses)[number]) => number): number => uses.reduce((n, use) => n + of(use), 0);
    const totals = axes.map((_, i) => sum(({ routes }) => routes[i]!));
    const bytes = axes.map(({ axis }) => layers.reduce((n, l) => n + (l.axis === axis ? l.bytes : 0), 0));
    const page = pages?.page ?? 1;
    const allocated = sum(({ routes }) =>
      routes.reduce((n, rows, i) => n + Math.ceil(rows / page) * page * bytes[i]!, 0),
    );
    return {
      promptTokens: sum((use) => use.promptTokens),
      generatedTokens: sum((use) => use.generatedTokens),
      firstToken: timing.firstToken,
      compiling: timing.compiling,
      generation: timing.generation,
      routes: this.#engine.model.routes.map((route, i) => ({ ...route, tokens: totals[i]! })),
      cache: { used: sum((use) => use.cache.own), allocated, dense: sum((use) => use.cache.dense) },
      flops: flopsBetween(this.generation, {
        program: step,
        before: totals.map((n, i) => n - added[i]!),
        totals,
        sequences: streams.length,
        logits: added[0]!,
      }),
    };
  }

  dispose(): void {
    this.#disposed = true;
    void this.#engine.close();
  }
}

interface Numbered {
  readonly sequence: number;
  readonly event: EngineEvent;
}

async function* numbered(stream: EngineStream, sequence: number): AsyncGenerator<Numbered, void> {
  for await (const event of stream) yield { sequence, event };
}

function tokenOf(sequence: number, event: EngineToken, promptLength: number): GeneratedToken {
  const { index, token, score, depth, routes, finish } = event;
  const read = index > 0 || promptLength === 1 ? { depth, routes } : { depth: null, routes: null };
  return { sequence, index, token, logprob: score && score.logprob, ...read, finish };
}
