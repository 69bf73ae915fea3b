// Both owners of the engine have the same abilities: a generator and an engine of many requests report the same for the
// same text, with caches of either layout.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration, type CompileGenerationOptions } from "../../../src/compiler/compile-generation.js";
import {
  createEngine,
  type Engine,
  type EngineOptions,
  type EngineRequest,
} from "../../../src/generation/engine/index.js";
import {
  createGenerator,
  ExpertLog,
  type GeneratedToken,
  type GenerateOptions,
  type Generator,
  type GeneratorOptions,
  type PromptRead,
} from "../../../src/generation/generate/index.js";
import type { Generation } from "../../../src/runtime/program/generation.js";
import type { Device } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { answerOf, randomWeights } from "../engine/engines.js";
import { LM } from "./models.js";

/** Experts for all tokens and for those of a route, and a live parameter. */
const SOURCE = LM(
  "",
  `all: LayerOf(Attention(dim, 2), MoE([for e in 0..4: SwiGLU(dim, 8)], dim, 2), dim)
  some: MoD(LayerOf(Attention(dim, 2), MoE([for e in 0..3: SwiGLU(dim, 8)], dim, 1), dim), dim, 50%)`,
  "x = some((x * bend) + all(x * bend))",
  60,
)
  .replace("Attention, ", "Attention, LayerOf, MoE, SwiGLU, ")
  .replace("dim: int = 16)", "dim: int = 16, live bend: float = 1.0)");
const LOOPED = LM("", "shared: Residual(Layer(dim, 2, hidden: 24))", "for r in 0..3 { x = shared(x) }");
const PROMPT = Array.from({ length: 20 }, (_, i) => (i * i + 2) % 13);

let device: Device;
beforeAll(async () => {
  device = await sparingDevice();
});
afterAll(() => device.destroy());

const compiled = (options: CompileGenerationOptions, source = SOURCE): Generation =>
  compileGeneration(source, { target: device.target, ...options }).generation!;

const weightsOf = ({ prompt }: Generation): ((weight: { readonly path: string }) => Float32Array) => {
  const values = randomWeights(prompt, 11);
  return ({ path }) => values.get(path)!.data;
};

const generatorOf = (generation: Generation, options: GeneratorOptions = {}): Promise<Generator> =>
  createGenerator(generation, device, weightsOf(generation), { chunk: 7, ...options });

const engineOf = (generation: Generation, options: EngineOptions = {}): Promise<Engine> =>
  createEngine(generation, device, weightsOf(generation), { chunk: 7, ...options });

async function all(
  generator: Generator,
  options: GenerateOptions,
  prompts = [PROMPT],
): Promise<{ readonly tokens: readonly GeneratedToken[]; readonly reads: readonly PromptRead[] }> {
  const [tokens, reads]: [GeneratedToken[], PromptRead[]] = [[], []];
  const onPrompt = (read: PromptRead, sequence: number): void => void (reads[sequence] = read);
  for await (const token of generator.generate(prompts, { maxTokens: 8, ...options, onPrompt })) tokens.push(token);
  return { tokens, reads };
}

const timeless = (summary: object): object => ({
  ...summary,
  firstToken: 0,
  compiling: 0,
  generation: 0,
});

describe("a generator and an engine", () => {
  it("report the same of a text: penalties, scores, routes, experts, summary", { tags: "long" }, async () => {
    const [rows, pages] = [compiled({}), compiled({ caches: "pages" })];
    const [side, paged, engine] = [await generatorOf(rows), await generatorOf(pages), await engineOf(pages)];
    const sampling = { presencePenalty: 0.7, frequencyPenalty: 0.4, temperature: 0.9, seed: 3, logprobs: true };
    const common = { sampling, logprobs: 3, experts: true, live: { bend: 0.6 } };
    const ofPrompt = { promptLogprobs: 2, promptRoutes: true };
    const log = new ExpertLog(pages);
    const request: EngineRequest = { prompt: PROMPT, maxTokens: 8, ...common, ...ofPrompt, observe: log };
    const stream = engine.submit(request);
    const answer = await answerOf(stream);
    const found = await all(paged, { ...common, ...ofPrompt });
    const alone = await all(side, common);
    for (const [i, { kind: _, score, ...token }] of answer.tokens.entries()) {
      const { logprob, sequence, score: own, ...same } = found.tokens[i]!;
      // A generator says nothing of the last token of a prompt, which caches side by side do not know.
      expect({ ...same, own }).toEqual({
        ...token,
        ...(i === 0 && { depth: null, routes: null }),
        own: score,
      });
      expect(sequence).toBe(0);
      expect(score!.logprob).toBeCloseTo(logprob!, 5);
      const { score: other, logprob: __, experts, ...rest } = alone.tokens[i]!;
      expect(rest).toEqual({ sequence, ...same, experts: undefined, score: undefined });
      if (i > 0) expect(experts).toEqual(same.experts);
      expect(other!.top.map((t) => t.token)).toEqual(own!.top.map((t) => t.token));
      expect(other!.logprob).toBeCloseTo(own!.logprob, 5);
    }
    expect(found.reads).toEqual([answer.prompt]);
    expect(answer.prompt.scores!.filter((score) => score?.top.length === 2)).toHaveLength(19);
    expect(alone.reads).toEqual([{ ...answer.prompt, scores: null, routes: null }]);

    const taken = (await side.taken()).map((own) => own && [...own[0]!]);
    expect(taken).toEqual((await paged.taken()).map((own) => own && [...own[0]!]));
    expect(taken).toEqual(stream.taken().map((own) => own && [...own]));
    expect(taken[1]!.length).toBeLessThan(taken[0]!.length);
    expect(side.experts()).toEqual(paged.experts());
    expect(side.experts()).toEqual(log.chosen);
    const { cache, ...rest } = timeless(side.summary!) as NonNullable<Generator["summary"]>;
    expect(rest.experts![0]!.tokens).toBe(27);
    for (const summary of [paged.summary!, stream.summary]) {
      const { cache: own, ...others } = timeless(summary) as typeof summary;
      expect(others).toEqual(rest);
      expect([own.used, own.dense]).toEqual([cache.used, cache.dense]);
    }
    // Another value, another text.
    const straight = await all(side, { ...common, live: {} });
    expect(straight.tokens.map((t) => t.token)).not.toEqual(alone.tokens.map((t) => t.token));
    await engine.close();
    for (const generator of [side, paged]) generator.dispose();
  });

  it("read what begins alike once, if caches are in pages, and guess tokens", { tags: "long" }, async () => {
    const [rows, pages] = [compiled({}), compiled({ caches: "pages" })];
    const side = await generatorOf(rows);
    const paged = await generatorOf(pages, { draft: "routes", maxBatch: 2, cacheMemory: 1 << 20 });
    const prompts = [PROMPT, [...PROMPT, 4], [1, 2], [5]];
    const wanted = await all(side, {}, prompts);
    for (const cached of [0, 16]) {
      // With two places the others wait.
      const { tokens, reads } = await all(paged, {}, prompts);
      for (const b of prompts.keys()) {
        const own = (list: readonly GeneratedToken[]) => list.filter(({ sequence }) => sequence === b);
        expect(own(tokens)).toEqual(own(wanted.tokens));
      }
      expect(reads.map((read) => read.cached)).toEqual([cached, cached, 0, 0]);
      const { guessed, right } = paged.summary!.drafted!;
      expect(guessed).toBeGreaterThan(0);
      expect(right).toBeLessThanOrEqual(guessed);
    }
    // Other values of live parameters share nothing; nor do observed texts, whose results are all read.
    for (const options of [{ live: { bend: 0.6 } }, { experts: true }])
      expect((await all(paged, options)).reads[0]!.cached).toBe(0);
    expect(paged.summary!.drafted).toEqual({ guessed: 0, right: 0 });
    for (const generator of [side, paged]) generator.dispose();
  });

  it("have caches of the last loop alone: requests take turns", async () => {
    const last = compiled({ loopCaches: "last" }, LOOPED);
    const generator = await createGenerator(last, device, weightsOf(last));
    const engine = await createEngine(last, device, weightsOf(last), { queue: 2 });
    const prompts = [
      [3, 1, 4, 1, 5],
      [9, 2],
      [6, 5, 3],
    ];
    const streams = prompts.map((prompt) => engine.submit({ prompt, maxTokens: 6 }));
    for (const [b, stream] of streams.entries()) {
      const { tokens } = await answerOf(stream);
      const alone = (await all(generator, { maxTokens: 6 }, [prompts[b]!])).tokens;
      expect(tokens.map(({ token }) => token)).toEqual(alone.map(({ token }) => token));
      expect(stream.taken()).toEqual([Uint32Array.from({ length: prompts[b]!.length + 5 }, (_, at) => at)]);
      const { cache, ...summary } = timeless(stream.summary) as typeof stream.summary;
      expect({ ...summary, cache }).toEqual(timeless(generator.summary!));
    }
    expect(engine.state.cache).toMatchObject({ used: 0, kept: 0 });
    await engine.close();
    generator.dispose();
  });

  it("end a text whose observer throws, and no other", async () => {
    const engine = await engineOf(compiled({ caches: "pages" }));
    const alone = await answerOf(engine.submit({ prompt: PROMPT, maxTokens: 6 }));
    const add = (): never => {
      throw new Error("of the observer");
    };
    const wrong = engine.submit({ prompt: PROMPT, maxTokens: 6, observe: { outputs: ["token"], add } });
    const right = answerOf(engine.submit({ prompt: PROMPT, maxTokens: 6 }));
    await expect(answerOf(wrong)).rejects.toThrow("of the observer");
    expect((await right).tokens.map(({ token }) => token)).toEqual(alone.tokens.map(({ token }) => token));
    const observe = { outputs: ["typo"], add };
    expect(() => engine.submit({ prompt: PROMPT, maxTokens: 1, observe })).toThrow('observe names "typo"');
    await expect(engineOf(compiled({ caches: "pages" }), { draft: "route" as "routes" })).rejects.toThrow(
      'draft must be "off" or "routes", found "route"',
    );
    await engine.close();
  });

  it("refuse what their caches cannot do, and say which can", async () => {
    const rows = compiled({});
    const generator = await generatorOf(rows);
    const engine = await engineOf(rows);
    const scores = { promptLogprobs: 1 };
    const hint = expect.stringContaining('caches: "pages"') as string;
    await expect(all(generator, scores)).rejects.toMatchObject({ code: "bad-input", input: "promptLogprobs", hint });
    expect(() => engine.submit({ prompt: PROMPT, maxTokens: 1, ...scores })).toThrow("promptLogprobs needs caches in");
    expect((await all(generator, { promptRoutes: true })).reads[0]!.routes).toBeNull();
    await expect(all(generator, { logprobs: 101 })).rejects.toThrow("from 0 to 100");
    await expect(all(generator, { live: { bent: 1 } })).rejects.toThrow("no live parameter bent");
    for (const options of [{ maxBatch: 2 }, { cacheMemory: 1 << 20 }, { draft: "routes" }] as const) {
      const fault = { code: "bad-input", input: Object.keys(options)[0] };
      await expect(generatorOf(rows, options)).rejects.toMatchObject(fault);
      await expect(engineOf(rows, options)).rejects.toMatchObject(fault);
    }
    const every = await generatorOf(compiled({ logits: "all" }));
    await expect(all(every, { logprobs: 1 })).rejects.toMatchObject({ code: "bad-input", input: "logprobs" });
    every.dispose();
    generator.dispose();
    await engine.close();
  });
});
