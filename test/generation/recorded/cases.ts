// The recorded generations: which there are, and a line of text for each, with a hash of all that it reports.
import { createHash } from "node:crypto";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { createEngine, type EngineRequest } from "../../../src/generation/engine/index.js";
import { createGenerator, type SamplingOptions } from "../../../src/generation/generate/index.js";
import type { Generation } from "../../../src/runtime/program/generation.js";
import type { Device } from "../../../src/runtime/index.js";
import { answerOf, randomWeights } from "../engine/engines.js";
import { LM, MODELS } from "../generate/models.js";

/** A model whose routes take a share of the tokens, by a live threshold. */
const SHARES = LM(
  `block Ruled(inner: block, dim: int, share: float) {
  guess: Predictor(dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    chosen = above(sigmoid(guess(x)[..., 0]), share)
    put(x, chosen, inner(take(x, chosen)))
  }
}`,
  "first: Residual(Layer(dim, 2))\n  second: Ruled(Layer(dim, 2), dim, bend / 2.0)",
  "x = second(first(x))",
);

/** Models with room for 64 tokens after a prompt, and a live parameter `bend`. */
const SOURCES: readonly (readonly [string, string])[] = [...Object.entries(MODELS), ["a live share", SHARES]].map(
  ([name, source]) => [
    name!,
    source!
      .replace("T <= 24", "T <= 96")
      .replace("dim: int = 16)", "dim: int = 16, live bend: float = 1.0)")
      .replace("x = embed(tokens)", "x = embed(tokens) * bend"),
  ],
);

type Caches = "rows" | "pages";
type Mode = "greedy" | "sampled" | "live" | "drafted";

export interface Case {
  readonly model: string;
  readonly source: string;
  readonly caches: Caches;
  readonly mode: Mode;
}

/** Models whose tokens are guessed too. */
const DRAFTED = ["mixture of depths", "every layer routed", "nested routes", "noise and positions"];

export const CASES: readonly Case[] = SOURCES.flatMap(([model, source]) =>
  (["rows", "pages"] as const).flatMap((caches) =>
    (["greedy", "sampled", "live", "drafted"] as const)
      .filter((mode) => mode !== "drafted" || (caches === "pages" && DRAFTED.includes(model)))
      .map((mode) => ({ model, source, caches, mode })),
  ),
);

/** Name of a case, with which its line begins. */
export const nameOf = ({ model, caches, mode }: Case): string => `${model}, ${caches}, ${mode}`;

const START = [3, 1, 4, 1, 5, 9, 2];
/** Longer than a page. */
const LONG = Array.from({ length: 20 }, (_, i) => (i * i + 2) % 13);
const SAMPLED: SamplingOptions = {
  temperature: 0.9,
  topP: 0.95,
  seed: 17,
  repetitionPenalty: 1.2,
  logitBias: { 4: 1 },
};
const BENT = { bend: 0.6 };

/** What a case reports: values to read, and everything. */
interface Report {
  readonly tokens: readonly number[];
  readonly logprobs: readonly (number | null)[];
  readonly counts: readonly number[];
  readonly all: unknown;
}

export async function lineOf(device: Device, given: Case): Promise<string> {
  const { source, caches } = given;
  const { generation, diagnostics } = compileGeneration(source, { target: device.target, caches });
  if (!generation) throw new Error(`${nameOf(given)}: ${diagnostics.map((d) => d.message).join(", ")}`);
  const { tokens, logprobs, counts, all } = await (caches === "rows" ? inRows : inPages)(
    device,
    generation,
    given.mode,
  );
  const shown = logprobs.slice(0, 3).map((value) => (value === null ? "-" : value.toFixed(4)));
  const hash = createHash("sha256").update(JSON.stringify(all)).digest("hex").slice(0, 16);
  return `${nameOf(given)}: ${tokens.slice(0, 12).join(" ")} | ${shown.join(" ")} | ${counts.join(" ")} | ${hash}`;
}

const weightsOf = ({ prompt }: Generation): ((weight: { readonly path: string }) => Float32Array) => {
  const values = randomWeights(prompt, 11);
  return ({ path }) => values.get(path)!.data;
};

/** One prompt, and then three together, in chunks. */
async function inRows(device: Device, generation: Generation, mode: Mode): Promise<Report> {
  const generator = await createGenerator(generation, device, weightsOf(generation), {
    chunk: 7,
    seed: 5,
    ...(mode === "live" && { live: BENT }),
  });
  const sampling = { ...(mode === "sampled" && SAMPLED), logprobs: mode !== "live" };
  const run = async (prompts: readonly (readonly number[])[], maxTokens: number, ends: readonly number[]) => {
    const events: unknown[][] = prompts.map(() => []);
    const [tokens, logprobs]: [number[], (number | null)[]] = [[], []];
    for await (const event of generator.generate(prompts, { maxTokens, ends, sampling })) {
      events[event.sequence]!.push(event);
      tokens.push(event.token);
      logprobs.push(event.logprob);
    }
    const { firstToken: _, compiling: __, generation: ___, ...summary } = generator.summary!;
    const taken = (await generator.taken()).map((route) => route?.map((own) => [...own]) ?? null);
    return { tokens, logprobs, counts: summary.routes.map((route) => route.tokens), all: { events, summary, taken } };
  };
  const alone = await run([START], 64, []);
  const together = await run([START, [6, 5], LONG], 16, [alone.tokens[20]!]);
  generator.dispose();
  return { ...alone, counts: [...alone.counts, ...together.counts], all: [alone.all, together.all] };
}

/** Sends requests in turn; two share a prefix. */
async function inPages(device: Device, generation: Generation, mode: Mode): Promise<Report> {
  const engine = await createEngine(generation, device, weightsOf(generation), {
    chunk: 7,
    seed: 5,
    maxBatch: 2,
    ...(mode === "drafted" && { draft: "routes" }),
  });
  const own: Partial<EngineRequest> = {
    ...(mode === "sampled" && { sampling: { ...SAMPLED, presencePenalty: 0.3, frequencyPenalty: 0.2 } }),
    ...(mode === "live" && { live: BENT }),
  };
  const run = async (request: EngineRequest) => {
    const stream = engine.submit({ ...own, ...request });
    const { prompt, tokens } = await answerOf(stream);
    return {
      tokens: tokens.map(({ token }) => token),
      logprobs: tokens.map(({ score }) => score && score.logprob),
      counts: stream.use.routes,
      all: { prompt, tokens, use: stream.use },
    };
  };
  const alone = await run({ prompt: START, maxTokens: 64, logprobs: mode === "live" ? null : 2, promptRoutes: true });
  await run({ prompt: LONG, maxTokens: 4 });
  const again = await run({ prompt: [...LONG, 7], maxTokens: 16, promptRoutes: true, ends: [alone.tokens[20]!] });
  const scored = await run({ prompt: LONG, maxTokens: 2, promptLogprobs: 1 });
  await engine.close();
  return { ...alone, counts: [...alone.counts, ...again.counts], all: [alone.all, again.all, scored.all] };
}
