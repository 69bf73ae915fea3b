// Tests the generator through its public interface: order, ends, errors, abort, and what it makes on the device.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import {
  createGenerator,
  type GeneratedToken,
  type Generation,
  type Generator,
  type GeneratorOptions,
} from "../../../src/generation/generate/index.js";
import { type Device, initialWeights, InputError, memoryOf } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { MODELS } from "./models.js";

let device: Device;
let mixed: Generation;
beforeAll(async () => {
  device = await sparingDevice();
  mixed = compileGeneration(MODELS["mixture of depths"]!, { target: device.target }).generation!;
});
afterAll(() => device.destroy());

const PROMPTS = [[3, 1, 4, 1, 5, 9, 2], [6, 5], [3, 5, 8, 9, 7, 9, 3, 2, 3, 8, 4, 6], [2], [7, 1, 8, 2, 8]];

/** Larger than weights begin with, so that routes and tokens differ. */
const open = (options: GeneratorOptions = {}, generation = mixed): Promise<Generator> =>
  createGenerator(generation, device, (w) => initialWeights(3)(w).map((v) => 6 * v), options);

async function all(
  generator: Generator,
  prompts: readonly ArrayLike<number>[],
  options: Parameters<Generator["generate"]>[1],
): Promise<GeneratedToken[]> {
  const tokens: GeneratedToken[] = [];
  for await (const token of generator.generate(prompts, options)) tokens.push(token);
  return tokens;
}
const of = (tokens: readonly GeneratedToken[], sequence: number): readonly GeneratedToken[] =>
  tokens.filter((t) => t.sequence === sequence);

describe("a generation", () => {
  it("tells of each weight once, though two programs have it", async () => {
    const counts: number[][] = [];
    const generator = await open({
      onProgress: (event) => event.kind === "weights" && counts.push([event.done, event.total]),
    });
    generator.dispose();
    const { weights } = mixed.prompt;
    expect(counts).toEqual(weights.map((_, i) => [i + 1, weights.length]));
  });

  it("does not depend on the batch, nor on how prompts are cut, nor on how many steps are under way", async () => {
    const generator = await open();
    const together = await all(generator, PROMPTS, { maxTokens: 9, sampling: { logprobs: true } });
    for (const [b, prompt] of PROMPTS.entries()) {
      const alone = await all(generator, [prompt], { maxTokens: 9, sampling: { logprobs: true } });
      expect(alone.map((t) => [t.token, t.finish])).toEqual(of(together, b).map((t) => [t.token, t.finish]));
      alone.forEach((t, i) => expect(Math.abs(t.logprob! - of(together, b)[i]!.logprob!)).toBeLessThan(1e-5));
      expect(alone.slice(1).map((t) => t.depth)).toEqual(
        of(together, b)
          .slice(1)
          .map((t) => t.depth),
      );
    }
    generator.dispose();
    for (const options of [{ chunk: 1 }, { chunk: 3, ahead: 1 }, { ahead: 3 }]) {
      const other = await open(options);
      const tokens = await all(other, PROMPTS, { maxTokens: 9, sampling: { logprobs: true } });
      for (const b of PROMPTS.keys())
        expect(of(tokens, b).map((t) => t.token)).toEqual(of(together, b).map((t) => t.token));
      other.dispose();
    }
  });

  it("ends at a token that ends texts, at the length asked for, and where the context is full; sequences end apart", async () => {
    const generator = await open();
    const free = await all(generator, PROMPTS, { maxTokens: 9, sampling: { logprobs: true } });
    const end = of(free, 2)[4]!.token;
    const tokens = await all(generator, PROMPTS, { maxTokens: 9, ends: [end] });
    for (const b of PROMPTS.keys()) {
      const wanted = of(free, b).map((t) => t.token);
      const at = wanted.indexOf(end);
      expect(of(tokens, b).map((t) => t.token)).toEqual(at < 0 ? wanted : wanted.slice(0, at + 1));
      expect(of(tokens, b).map((t) => t.finish)).toEqual(
        of(tokens, b).map((_, i, list) => (i + 1 < list.length ? null : at < 0 ? "length" : "end")),
      );
    }
    // The context is 24: what is chosen from the last token that fits is the last.
    const full = await all(generator, [PROMPTS[2]!, Array.from({ length: 24 }, (_, i) => i % 13)], {});
    expect(of(full, 0)).toHaveLength(13);
    expect(of(full, 1)).toHaveLength(1);
    expect(full.filter((t) => t.finish !== null).map((t) => t.finish)).toEqual(["context", "context"]);
    expect(full.filter((t) => t.sequence === 0 && t.index < 13).map((t) => t.index)).toEqual(
      Array.from({ length: 13 }, (_, i) => i),
    );
    generator.dispose();
  });

  it("draws by the options of each sequence: the same text for a seed, whatever the batch", async () => {
    const generator = await open();
    const sampling = { temperature: 1.5, topK: 8, repetitionPenalty: 1.2, seed: 41 };
    const drawn = await all(generator, PROMPTS, { maxTokens: 9, sampling });
    const greedy = await all(generator, PROMPTS, { maxTokens: 9 });
    expect(drawn.map((t) => t.token)).not.toEqual(greedy.map((t) => t.token));
    expect(drawn.every((t) => t.logprob === null)).toBe(true);
    for (const b of [0, 3]) {
      const alone = await all(generator, [PROMPTS[b]!], { maxTokens: 9, sampling: { ...sampling, seed: 41 + b } });
      expect(alone.map((t) => t.token)).toEqual(of(drawn, b).map((t) => t.token));
    }
    // A token that never comes, and one that always does.
    const never = await all(generator, PROMPTS, {
      maxTokens: 9,
      sampling: { ...sampling, logitBias: { [drawn[0]!.token]: -Infinity } },
    });
    expect(never.some((t) => t.token === drawn[0]!.token)).toBe(false);
    const always = await all(generator, PROMPTS.slice(0, 2), {
      maxTokens: 4,
      sampling: [{ logitBias: { 7: 1e6 } }, {}],
    });
    expect(of(always, 0).map((t) => t.token)).toEqual([7, 7, 7, 7]);
    expect(of(always, 1).map((t) => t.token)).toEqual(
      of(greedy, 1)
        .slice(0, 4)
        .map((t) => t.token),
    );
    generator.dispose();
  });

  it("makes no buffer for a token, and none again for what it has done before", async () => {
    const dense = compileGeneration(MODELS["dense"]!, { target: device.target }).generation!;
    const generator = await open({}, dense);
    const buffers: number[] = [];
    for await (const _ of generator.generate([[1, 2, 3]], { maxTokens: 20 })) buffers.push(generator.memory.buffers);
    // The buffers of steps are made for the first of them.
    expect(new Set(buffers.slice(1)).size).toBe(1);
    const bytes = generator.memory.bytes;
    await all(generator, [[4, 5]], { maxTokens: 20 });
    expect(generator.memory).toEqual({ buffers: buffers[1], bytes });
    generator.dispose();
  });

  it("keeps one copy of the weights and of the caches, which both programs read", async () => {
    const generator = await open({ ahead: 3 });
    const max = { B: 1, "generate.sequence": 1, "T.capacity": 16, "K.capacity": 16, "K2.capacity": 16 };
    const uniformAlignment = device.info.limits.minUniformBufferOffsetAlignment;
    const prompt = memoryOf(mixed.prompt, { max: { ...max, T: 24 }, uniformAlignment });
    const step = memoryOf(mixed.step, { max: { ...max, T: 1 }, uniformAlignment, inFlight: 3 });
    expect(generator.memory.bytes).toBe(prompt.total + step.total - step.weights - step.states);
    generator.dispose();
  });

  it("says what it came to", async () => {
    const generator = await open();
    const tokens = await all(generator, PROMPTS, { maxTokens: 9, sampling: { logprobs: true } });
    const { promptTokens, generatedTokens, routes, cache, flops } = generator.summary!;
    expect([promptTokens, generatedTokens]).toEqual([27, 45]);
    const [every, one, two] = routes;
    expect([every!.layers, one!.layers, two!.layers]).toEqual([2, 1, 1]);
    expect([every!.path, one!.path, two!.path]).toEqual(["", "layers.1", "layers.3"]);
    expect(every!.tokens).toBe(27 + 45 - 5);
    // Keys and values of 16 values each in f32.
    const bytes = 2 * 16 * 4;
    expect(cache.used).toBe(bytes * (2 * every!.tokens + one!.tokens + two!.tokens));
    expect(cache.dense).toBe(bytes * 4 * every!.tokens);
    expect(cache.allocated).toBeGreaterThanOrEqual(cache.used);
    expect(flops!.own).toBeLessThan(flops!.dense);
    // The dense layers compute every token, the routed ones some.
    const depths = tokens.flatMap((t) => t.depth ?? []);
    expect(Math.min(...depths)).toBeGreaterThanOrEqual(2);
    expect(Math.max(...depths)).toBeLessThanOrEqual(4);
    expect(new Set(depths).size).toBeGreaterThan(1);
    generator.dispose();
  });
});

describe("a generation that is ended early", () => {
  it("counts no token that was computed behind the end of its text", async () => {
    const generator = await open();
    const prompts = [
      [1, 2, 3],
      [4, 5],
    ];
    await all(generator, prompts, { maxTokens: 5 });
    const [wanted, places] = [generator.summary!, await generator.taken()];
    const said = [0, 0];
    await all(generator, prompts, { maxTokens: 30, until: (sequence) => ++said[sequence]! === 5 });
    const { routes, cache, flops, generatedTokens } = generator.summary!;
    expect(generatedTokens).toBe(10);
    expect(routes[0]!.tokens).toBe(3 + 2 + 10 - 2);
    expect([routes, cache.used, cache.dense, flops]).toEqual([
      wanted.routes,
      wanted.cache.used,
      wanted.cache.dense,
      wanted.flops,
    ]);
    expect(await generator.taken()).toEqual(places);
    generator.dispose();
  });

  it("throws the reason of its signal, and leaves the generator fit for another", async () => {
    const generator = await open();
    const wanted = (await all(generator, [[1, 2, 3]], { maxTokens: 12 })).map((t) => t.token);
    const controller = new AbortController();
    const seen: number[] = [];
    const ended = (async () => {
      for await (const { token } of generator.generate([[1, 2, 3]], { maxTokens: 12, signal: controller.signal }))
        if (seen.push(token) === 3) controller.abort(new Error("enough"));
    })();
    await expect(ended).rejects.toThrow("enough");
    expect(seen).toEqual(wanted.slice(0, seen.length));
    // What was given by then is counted.
    expect([generator.summary!.promptTokens, generator.summary!.generatedTokens]).toEqual([3, seen.length]);
    expect(generator.summary!.routes[0]!.tokens).toBeGreaterThanOrEqual(3 + seen.length - 1);
    for await (const _ of generator.generate([[1, 2, 3]], { maxTokens: 12 })) break;
    expect((await all(generator, [[1, 2, 3]], { maxTokens: 12 })).map((t) => t.token)).toEqual(wanted);
    generator.dispose();
  });

  it("has a summary where not even the prompt was read", async () => {
    const generator = await open();
    const tokens = generator.generate([[1, 2, 3]], { signal: AbortSignal.abort(new Error("never")) });
    await expect(tokens.next()).rejects.toThrow("never");
    expect(generator.summary).toMatchObject({ promptTokens: 3, generatedTokens: 0, flops: null });
    expect((await generator.taken()).map((route) => route?.map((p) => p.length))).toEqual([[0], [0], [0]]);
    generator.dispose();
  });

  it("says that logits are no numbers, asked or not", async () => {
    const generator = await createGenerator(mixed, device, (w) =>
      w.path.startsWith("norm.") ? initialWeights(3)(w).map(() => NaN) : initialWeights(3)(w),
    );
    expect((await all(generator, [[1, 2]], { maxTokens: 2 })).map((t) => t.logprob)).toEqual([NaN, NaN]);
    generator.dispose();
  });

  it("refuses prompts and options that are none, before anything runs", async () => {
    const generator = await open();
    const refused = async (
      prompts: readonly (readonly number[])[],
      options: Parameters<Generator["generate"]>[1],
      message: RegExp,
    ): Promise<void> => {
      const run = all(generator, prompts, options);
      await expect(run).rejects.toThrow(InputError);
      await expect(run).rejects.toThrow(message);
    };
    await refused([], {}, /no prompt/);
    await refused([[1], []], {}, /prompt 1 is empty/);
    await refused([[1, 13]], {}, /token 1 of the prompt is 13: .* from 0 to 12/);
    await refused([[1.5]], {}, /token 0 of the prompt is 1\.5/);
    await refused([Array.from({ length: 25 }, () => 1)], {}, /has 25 tokens, the model reads at most 24/);
    await refused([[1]], { maxTokens: 0 }, /maxTokens is 0/);
    await refused([[1]], { ends: [-1] }, /-1/);
    await refused([[1]], { sampling: { topP: 2 } }, /topP must be from 0 to 1/);
    const first = generator.generate([[1]], {});
    await first.next();
    await refused([[1]], {}, /busy/);
    await first.return({} as never);
    expect(await all(generator, [[1]], { maxTokens: 2 })).toHaveLength(2);
    generator.dispose();
    await expect(open({ chunk: 0 })).rejects.toThrow(/chunk is 0/);
    await expect(open({ ahead: 9 })).rejects.toThrow(/ahead is 9/);
  });
});

describe("the trained moby", () => {
  it("goes on as the text it was trained on does, whatever the length of the prompt", { tags: "long" }, async () => {
    const folder = join(import.meta.dirname, "../../../examples");
    const { generation } = compileGeneration(readFileSync(join(folder, "moby.mod"), "utf8"), { target: device.target });
    const generator = await createGenerator(generation!, device, join(folder, "moby.safetensors"));
    const text = readFileSync(join(folder, "moby-dick.txt")).subarray(0, 256);
    const lengths = [1, 100, 255, 256];
    const together = await all(
      generator,
      lengths.map((n) => text.subarray(0, n)),
      { maxTokens: 16 },
    );
    expect(lengths.map((_, b) => of(together, b).length)).toEqual([16, 16, 2, 1]);
    const written = String.fromCharCode(...of(together, 1).map((t) => t.token));
    expect(written).toMatch(/^[ -~\r\n]{16}$/);
    generator.dispose();
  });
});
