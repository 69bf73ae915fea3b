// Engines for tests, and the text that a request gives alone.
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import {
  createEngine,
  type Engine,
  type EngineOptions,
  type EngineRequest,
} from "../../../src/generation/engine/index.js";
import { bytesByAxis, memoryWith, type PagedModel } from "../../../src/generation/engine/caches/use.js";
import type { EngineEvent, EngineToken, PromptRead } from "../../../src/generation/engine/types.js";
import { createGenerator, type Generator, type SamplingOptions } from "../../../src/generation/generate/index.js";
import type { Program } from "../../../src/runtime/program/program.js";
import type { Device } from "../../../src/runtime/index.js";
import { random } from "../../random.js";

export type Weights = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;

/** Normal; vectors around 1. */
export function randomWeights(program: Program, seed: number): Weights {
  const rng = random(seed);
  return new Map(
    program.weights.map(({ path, shape }) => {
      const scale = 1.5 / Math.sqrt(shape.at(-1) ?? 1);
      const value = path.endsWith("guess.down.bias")
        ? () => 0
        : shape.length < 2
          ? () => 1 + 0.2 * rng.normal()
          : () => rng.normal() * scale;
      return [path, { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, value) }];
    }),
  );
}

export interface Pair {
  readonly engine: Engine;
  /** One request at a time, with caches in rows. */
  readonly alone: Generator;
  readonly close: () => Promise<void>;
}

export interface PairOptions extends EngineOptions {
  readonly memory?: number;
  /** Bytes beside `memory`, such as the snapshots of a model without keys. */
  readonly more?: number;
  readonly slots?: boolean;
}

/**
 * The engine and the generator of a model with the same weights. `memory`: of the cache, in tokens that take all layers.
 * `slots`: whether the engine's programs are for several sequences.
 */
export async function pairOf(
  source: string,
  device: Device,
  seed: number,
  { memory, more, slots = true, ...given }: PairOptions = {},
): Promise<Pair> {
  const compiled = (caches: "rows" | "pages") =>
    compileGeneration(source, { target: device.target, caches, slots }).generation!;
  const [rows, pages] = [compiled("rows"), compiled("pages")];
  const paged = pages as PagedModel; // as it was compiled
  const bytes = bytesByAxis(paged).reduce((a, b) => a + b, 0);
  const batch = given.maxBatch ?? (slots ? 16 : 1);
  const cacheMemory = memory === undefined ? undefined : memoryWith(paged, memory * bytes, batch) + (more ?? 0);
  const options = { ...given, ...(cacheMemory !== undefined && { cacheMemory }) };
  const values = randomWeights(rows.prompt, seed);
  const weights = ({ path }: { readonly path: string }): Float32Array => values.get(path)!.data;
  const alone = await createGenerator(rows, device, weights, { chunk: options.chunk ?? 256 });
  const engine = await createEngine(pages, device, weights, options);
  return {
    engine,
    alone,
    close: async () => {
      await engine.close();
      alone.dispose();
    },
  };
}

export interface Answer {
  readonly prompt: PromptRead;
  readonly tokens: readonly EngineToken[];
}

export async function answerOf(stream: AsyncIterable<EngineEvent>): Promise<Answer> {
  let prompt: PromptRead | null = null;
  const tokens: EngineToken[] = [];
  for await (const event of stream)
    if (event.kind === "prompt") prompt = event;
    else tokens.push(event);
  if (!prompt) throw new Error("the prompt was never read");
  return { prompt, tokens };
}

/** The tokens that the request gives alone. */
export async function aloneOf(generator: Generator, request: EngineRequest): Promise<readonly number[]> {
  const tokens: number[] = [];
  const { until, ends = [], maxTokens, prompt, sampling = {} } = request;
  const stop = until && ((_sequence: number, token: number): boolean => until(token));
  for await (const { token } of generator.generate([prompt], {
    maxTokens,
    ends,
    sampling,
    ...(stop && { until: stop }),
  }))
    tokens.push(token);
  return tokens;
}

/** A request of random tokens, length and sampling. */
export function randomRequest(rng: ReturnType<typeof random>, vocabulary: number, longest: number): EngineRequest {
  const prompt = Array.from({ length: 1 + rng.below(longest) }, () => rng.below(vocabulary));
  const sampled: SamplingOptions = {
    temperature: 0.5 + rng.next(),
    seed: rng.below(1000),
    ...(rng.below(2) === 0 && { topP: 0.9 }),
    ...(rng.below(3) === 0 && { topK: 5 }),
    ...(rng.below(3) === 0 && { repetitionPenalty: 1.3 }),
    ...(rng.below(4) === 0 && { logitBias: { [rng.below(vocabulary)]: 1.5 } }),
  };
  return {
    prompt,
    maxTokens: 1 + rng.below(longest),
    ...(rng.below(3) > 0 && { sampling: sampled }),
    ...(rng.below(3) === 0 && { ends: [rng.below(vocabulary)] }),
  };
}
