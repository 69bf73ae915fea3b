// Caches of the last loop alone, of blocks that are called several times: what a step sees, what a prompt is, how much
// memory they take, and what is refused. test/models/families/loop-caches.test.ts compares routed loops with PyTorch.
import { describe, expect, it } from "vitest";
import { check } from "../../../src/language/check/check.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { createGenerator, type GeneratedToken, type Generator } from "../../../src/generation/generate/index.js";
import type { Graph } from "../../../src/compiler/ir/graph.js";
import { GenerationError } from "../../../src/compiler/lower/generation-error.js";
import { generationGraphs, LOGITS, TOKEN, type GenerationGraphs } from "../../../src/compiler/lower/generation.js";
import { lower } from "../../../src/compiler/lower/lower.js";
import { optimize } from "../../../src/compiler/passes/index.js";
import { parseGeneration, printGeneration, type Generation } from "../../../src/runtime/program/generation.js";
import { evaluate } from "../../../src/compiler/reference/evaluate.js";
import { initialWeights, openDevice, type WeightsInput } from "../../../src/runtime/index.js";
import { openEngine } from "../../../src/tools/session/index.js";
import { loadGraph, type Loaded } from "../../../src/tools/verify/machine.js";
import { measureSteps, type StepsApart } from "../../../src/tools/verify/steps.js";
import { expectClose } from "../../close.js";
import { modelDevice } from "../../model-device.js";
import { randomWeights } from "../../end-to-end/model.js";
import { Continued, rowOf } from "./continued.js";
import { LM, MODELS } from "./models.js";

/** Three loops of two layers, after one single layer. */
const LOOPED = LM(
  "",
  "first: Residual(Layer(dim, 2, hidden: 24))\n  layers: [for i in 0..2: Residual(Layer(dim, 2, hidden: 24))]",
  "x = first(x)\n    for r in 0..3 { for layer in layers { x = layer(x) } }",
  400,
);

/** Two calls of a layer, the first of which reads the keys of another. */
const BORROWED = (key: string): string =>
  LM(
    `
block Keyed(dim: int) {
  q: Linear(dim, dim)
  k: Linear(dim, dim)
  keys(x: f32[B, T, dim]) -> f32[B, 1, T, dim] { rearrange(k(x), "b t d -> b 1 t d") }
  forward(x: f32[B, T, dim], keys: f32[B, 1, T, dim]) -> f32[B, T, dim] {
    rearrange(attention(rearrange(q(x), "b t d -> b 1 t d"), keys, keys, causal: true), "b 1 t d -> b t d")
  }
}`,
    "other: Keyed(dim)\n  layer: Keyed(dim)",
    `keys = ${key}.keys(x)\n    x = other(x, keys)\n    x = layer(x, keys)\n    x = layer(x, layer.keys(x))`,
  );

/** Two calls of a layer, the second for the tokens of a route. */
const LEFT = LM(
  "",
  "layer: Layer(dim, 2, hidden: 24)\n  guess: Predictor(dim)",
  "x = x + layer(x)\n    going = above(guess(x)[..., 0], 0.0)\n    x = put(x, going, layer(take(x, going)))",
);

/** A block with two attentions, of which each function computes one, of keys by `local` or by `global`. */
const SIDES = (forward: string, members = "two: Two(dim)"): string =>
  LM(
    `
block Two(dim: int) {
  a: Linear(dim, dim)
  b: Linear(dim, 2 * dim)
  by(x: f32[B, T, dim], keys: f32[B, 1, T, dim]) -> f32[B, T, dim] {
    rearrange(attention(rearrange(x, "b t d -> b 1 t d"), keys, keys, causal: true), "b 1 t d -> b t d")
  }
  local(x: f32[B, T, dim]) -> f32[B, T, dim] { by(x, rearrange(a(x), "b t d -> b 1 t d")) }
  other(x: f32[B, T, dim]) -> f32[B, T, dim] { by(x, rearrange(b(x)[..., 0:dim], "b t d -> b 1 t d")) }
  of(x: f32[B, T, dim], k: f32[B, H, T, W]) -> f32[B, T, dim] {
    x + rearrange(attention(k, k, k, causal: true), "b h t d -> b t (h d)")[..., 0:dim]
  }
  wide(x: f32[B, T, dim]) -> f32[B, T, dim] {
    k = rearrange(b(x), "b t (h d) -> b h t d", h: 4)
    rearrange(attention(k, k, k, causal: true), "b h t d -> b t (h d)")[..., 0:dim]
  }
}`,
    members,
    forward,
  );
const cachesOf = ({ layers }: GenerationGraphs): readonly string[] => layers.map(({ keys }) => keys);

function lowered(source: string): Graph {
  const { model } = check({ file: "model.mod", text: source }, { phase: "generate", set: {}, read: () => null });
  return lower(model!);
}

const optimized = (made: GenerationGraphs): GenerationGraphs => ({
  ...made,
  prompt: optimize(made.prompt, { verify: true }),
  step: optimize(made.step, { verify: true }),
});

const compiled = (loopCaches: "each" | "last"): Generation =>
  compileGeneration(LOOPED, { loopCaches, verify: true }).generation!;
const [ofEach, ofLast] = [compiled("each"), compiled("last")];
const weights = randomWeights(ofLast.prompt, 8, 1.5);
const PROMPTS = [[3, 1, 4, 1, 5, 9, 2], [6, 5], [3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6], [2]];
/** Within what reordering sums of 64-bit floats leaves. */
const exactly = (v: number): number => 1e-10 * (1 + Math.abs(v));

describe("caches of the last loop alone", () => {
  const graph = lowered(LOOPED);
  const [each, last] = [optimized(generationGraphs(graph)), optimized(generationGraphs(graph, { loopCaches: "last" }))];
  const withoutCall = (path: string): string => path.replace(/#\d+/, "");

  it("give a step what caches of each loop give, were all filled with what the last one has left", () => {
    const runs = [each, last].map((graphs) => new Continued(graphs, weights, PROMPTS.length, 24));
    const [own] = runs as [Continued, Continued];
    const [a, b] = runs.map((run) => run.read(PROMPTS));
    expectClose(b!.get(LOGITS)!.data, a!.get(LOGITS)!.data, exactly, "behind the prompts");
    let apart = 0;
    for (let i = 0; i < 4; i++) {
      const before = own.states;
      const alone = own.step(PROMPTS.map(() => 1)).get(LOGITS)!.data;
      const states = new Map(before);
      for (const layer of each.layers) {
        const final = each.layers.findLast(({ path }) => withoutCall(path) === withoutCall(layer.path))!;
        states.set(layer.keys, before.get(final.keys)!).set(layer.values, before.get(final.values)!);
      }
      own.states = states;
      const [wanted, found] = runs.map((run) => run.step(PROMPTS.map(() => 1)));
      expectClose(found!.get(LOGITS)!.data, wanted!.get(LOGITS)!.data, exactly, `step ${i}`);
      expect(found!.get(TOKEN)!.data).toEqual(wanted!.get(TOKEN)!.data);
      apart = Math.max(apart, ...alone.map((v, at) => Math.abs(v - found!.get(LOGITS)!.data[at]!)));
    }
    expect(apart, "they are another law than caches of each loop").toBeGreaterThan(0.1);
  });

  it("take the memory of one call of each block, and are written where they lie", () => {
    const bytes = ({ layers }: Generation): number => layers.reduce((n, layer) => n + layer.bytes, 0);
    expect([bytes(ofEach), bytes(ofLast)]).toEqual([7 * 128, 3 * 128]);
    const caches = ofLast.step.states.filter(({ name }) => /\.(keys|values)$/.test(name));
    expect(caches.map(({ name }) => name).sort()).toEqual(
      ["first.inner.attn", "layers.0.inner.attn", "layers.1.inner.attn"].flatMap((path) => [
        `cache.${path}.keys`,
        `cache.${path}.values`,
      ]),
    );
    for (const program of [ofLast.prompt, ofLast.step])
      expect(program.steps.filter(({ kind }) => kind === "copy")).toEqual([]);
    expect(parseGeneration(printGeneration(ofLast)).loopCaches).toBe("last");
    expect(parseGeneration(printGeneration(ofEach))).not.toHaveProperty("loopCaches");
  });

  const given: WeightsInput = ({ path }) => weights.get(path)!.data;

  it("are of a prompt that is read at once, however long", { tags: "long" }, async () => {
    const prompt = Array.from({ length: 300 }, (_, i) => (i * i + 3 * i) % 13);
    const generator = await createGenerator(ofLast, await modelDevice(), given);
    const tokens: GeneratedToken[] = [];
    for await (const token of generator.generate([prompt, [4, 2]], { maxTokens: 3, sampling: { logprobs: true } }))
      tokens.push(token);
    const { cache } = generator.summary!;
    expect(cache.used).toBe((300 + 2 + 2 * 2) * 3 * 128);
    generator.dispose();
    const first = tokens.find(({ sequence }) => sequence === 0)!;
    const { outputs } = evaluate(graph, { inputs: new Map([["tokens", [prompt]]]), weights, lengths: [300], seed: 0 });
    const row = rowOf(outputs.get("output")!, 299);
    const most = Math.max(...row);
    const wanted = -Math.log(row.reduce((sum, v) => sum + Math.exp(v - most), 0));
    expect(Math.abs(first.logprob! - wanted)).toBeLessThan(1e-4);
  });

  it("are as they were on another device, when theirs is lost", { tags: "long" }, async () => {
    let recovered = 0;
    const generate = async (
      generator: Generator,
      ends: readonly number[],
      lost: number | null = null,
    ): Promise<readonly GeneratedToken[]> => {
      const tokens: GeneratedToken[] = [];
      for await (const token of generator.generate(PROMPTS.slice(0, 2), { maxTokens: 6, ends })) {
        tokens.push(token);
        if (tokens.length === lost) generator.device.gpu.destroy();
      }
      return tokens.sort((a, b) => a.sequence - b.sequence || a.index - b.index);
    };
    const calm = await createGenerator(ofLast, await modelDevice(), given);
    // One text has ended before the device is lost.
    const free = await generate(calm, []);
    const ends = [free.find(({ sequence, index }) => sequence === 1 && index === 1)!.token];
    const wanted = await generate(calm, ends);
    calm.dispose();
    expect(wanted.filter(({ finish }) => finish === "end").length).toBeGreaterThan(0);
    const device = await openDevice();
    const lossy = await createGenerator(ofLast, device, given, {
      ahead: 1,
      onRecovered: ({ tokens }) => (recovered = tokens),
    });
    expect(await generate(lossy, ends, wanted.length - 2)).toEqual(wanted);
    lossy.dispose();
    device.destroy();
    expect(recovered, "tokens read again").toBeGreaterThan(9);
  });

  it("are of one attention: others of the block have their own", () => {
    const caches = (source: string): readonly string[] =>
      cachesOf(generationGraphs(lowered(source), { loopCaches: "last" }));
    const loop = (calls: string): string => SIDES(`for r in 0..2 { ${calls} }`);
    expect(caches(loop("x = two.local(x)"))).toEqual(Array(2).fill("cache.two.keys"));
    const turns = ["cache.two.keys", "cache.two.1.keys", "cache.two.keys", "cache.two.1.keys"];
    // Keys that come from outside are told apart by what computes them.
    const given = (by: string): string => `x = x + two.by(x, rearrange(${by}(x), "b t d -> b 1 t d"))`;
    const members = "two: Two(dim)\n  l: Linear(dim, dim)\n  m: Linear(dim, dim, bias: false)";
    expect(caches(SIDES(`for r in 0..2 { ${given("l")}\n      ${given("m")} }`, members))).toEqual(turns);
    for (const second of ["other", "wide"])
      expect(caches(loop(`x = two.local(x)\n      x = x + two.${second}(x)`)), second).toEqual(turns);
    // One that is computed once keeps the cache that it has without the option.
    expect(caches(loop("x = two.local(x)").replace("norm(x)", "norm(x + two.wide(x))"))).toEqual([
      "cache.two.keys",
      "cache.two.keys",
      "cache.two#2.keys",
    ]);
  });

  it(
    "are held to the whole sequence behind prompts of which no route left a token, and to numbers",
    { tags: "long" },
    async () => {
      /** As they are, and with other logits of the whole sequence. */
      const measured = async (source: string, change: (logit: number, i: number) => number): Promise<StepsApart[]> => {
        const generation = compileGeneration(source, { loopCaches: "last" }).generation!;
        const own = randomWeights(generation.prompt, 8, 1.5);
        const machine = { device: await modelDevice() };
        const sound = await loadGraph(machine, optimize(lowered(source)), own);
        const changed: Loaded = {
          ...sound,
          run: async (given) =>
            new Map([...(await sound.run(given))].map(([k, v]) => [k, { ...v, data: Array.from(v.data, change) }])),
        };
        const of = { machine, generation, weights: own, prompts: PROMPTS.slice(0, 2), tokens: 2 };
        const found = [await measureSteps({ ...of, whole: sound }), await measureSteps({ ...of, whole: changed })];
        sound.dispose();
        return found;
      };
      const [sound, raised] = await measured(LOOPED, (v, i) => (i % 13 === 0 ? v + 5 : v));
      expect(sound).toMatchObject({ isExactBehindPrompts: true, faults: [] });
      expect([sound!.behindPrompts < 1e-4, sound!.largest > 1e-2]).toEqual([true, true]);
      expect(raised!.faults[0]).toMatch(/^token 7 of sequence 0 has the log-probability .*, but the whole sequence -/);
      // A route leaves tokens out, whose keys of an earlier loop the prompt sees: no law but that of numbers.
      const [left, none] = await measured(LEFT, () => NaN);
      expect(left).toMatchObject({ isExactBehindPrompts: false, faults: [] });
      expect(left!.behindPrompts).toBeGreaterThan(1e-3);
      expect(none!.faults[0]).toContain("but the whole sequence NaN");
    },
  );

  it("are refused where there is no loop, or none of all tokens, and in pages", async () => {
    const refused = (source: string, message: RegExp, more: Parameters<typeof generationGraphs>[1] = {}): void => {
      const made = (): unknown => generationGraphs(lowered(source), { ...more, loopCaches: "last" });
      expect(made).toThrow(GenerationError);
      expect(made).toThrow(message);
    };
    refused(MODELS["dense"]!, /no block with attention is called more than once/);
    refused(MODELS["one block called twice"]!, /first call of shared.inner.attn has no keys of tokens that a route/);
    const weighted = MODELS["weights of keys"]!.replace("two(one(x))", "two(one(one(x)))");
    refused(
      weighted,
      /the keys of one.inner have weights, or values that a mask or bias reads, which later calls would change/,
    );
    refused(BORROWED("other"), /no block has the same attention in several calls/);
    refused(BORROWED("layer"), /the keys of layer#\d are those of another layer in an earlier call/);
    for (const other of ["other", "wide"])
      refused(
        SIDES(`x = two.local(x)\n    x = x + two.${other}(x)`),
        /no block has the same attention in several calls/,
      );
    refused(SIDES("x = two.local(x) + two.local(x * -1.0)"), /the calls of two are not computed one after the other/);
    const heads = (h: number, of = "by(x)"): string =>
      `x = two.of(x, rearrange(${of}, "b t (h d) -> b h t d", h: ${h}))`;
    const calls = [2, 4].map((h) => heads(h)).join("\n    ");
    const rest = "two: Two(dim)\n  by: Linear(dim, dim)";
    refused(
      SIDES(`for r in 0..3 { ${heads(2, "x")} }`),
      /keys or values of two come from outside its calls, of no one/,
    );
    refused(SIDES(calls, rest), /the keys and values of two have not the same shape in all calls/);
    refused(LOOPED, /caches of the last loop alone cannot use pages/, { caches: "pages" });
    expect(() => generationGraphs(graph, { loopCaches: "first" as "last" })).toThrow(/loopCaches is "first"/);
    await expect(openEngine("examples/moby.mod", { loopCaches: "last" })).rejects.toThrow(
      "caches of the last loop alone: no block with attention is called more than once",
    );
    await expect(createGenerator(ofLast, await modelDevice(), initialWeights(1), { chunk: 8 })).rejects.toThrow(
      "with caches of the last loop alone a prompt is read at once",
    );
  });
});
