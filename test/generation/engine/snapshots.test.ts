// Prefixes of models with recurrences: a text continues from a snapshot of states and the pages before it, and equals
// the text after its whole prompt is read.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { nextSnapshot } from "../../../src/generation/engine/caches/snapshot-rule.js";
import { divided, memoryWith, type PagedModel } from "../../../src/generation/engine/caches/use.js";
import type { Device } from "../../../src/runtime/index.js";
import { sparingDevice } from "../../device.js";
import { RECURRENT_MODELS } from "../generate/models.js";
import { random } from "../../random.js";
import { aloneOf, answerOf, pairOf } from "./engines.js";

let device: Device;
beforeAll(async () => {
  device = await sparingDevice();
});
afterAll(() => device.destroy());

const long = (name: string): string => RECURRENT_MODELS[name]!.replace("T <= 24", "T <= 700");
const HYBRID = "a hybrid with a routed layer of each";
const statesOf = (source: string): number =>
  compileGeneration(source, { caches: "pages" }).generation!.states!.reduce((sum, { bytes }) => sum + bytes, 0);

it("are taken at multiples of 256 tokens, and at the last page of a prompt", () => {
  const rule = { every: 256, page: 16 };
  const all = (length: number): readonly number[] => {
    const found: number[] = [];
    for (let at = nextSnapshot(0, length, rule); at < length; at = nextSnapshot(at, length, rule)) found.push(at);
    return found;
  };
  expect([9, 16, 17, 40, 256, 257, 600].map(all)).toEqual([[], [], [16], [32], [240], [256], [256, 512, 592]]);
});

it("have a part of the memory, beside the states of slots", () => {
  for (const [name, source] of Object.entries(RECURRENT_MODELS)) {
    const paged = compileGeneration(source, { caches: "pages" }).generation as PagedModel;
    const state = statesOf(source);
    const dense = paged.pages.axes.flatMap(({ states }) => states).reduce((sum, { bytes }) => sum + bytes, 0);
    for (const tokens of [32, 64, 10_000]) {
      const memory = memoryWith(paged, tokens * dense, 3);
      const { states, pools, snapshots } = divided(paged, memory, 3);
      expect([states, pools, states + pools + snapshots], name).toEqual([3 * state, tokens * dense, memory]);
      if (dense > 0) expect(snapshots, name).toBeGreaterThanOrEqual(Math.min(4 * state, pools));
    }
  }
});

describe("prefixes of a model with recurrences", () => {
  for (const name of [HYBRID, "a delta rule behind a short convolution", "the latest row of a route, held"])
    it(`continue from snapshots as the whole prompt: ${name}`, { tags: "long" }, async () => {
      const { engine, alone, close } = await pairOf(long(name), device, 21, { maxBatch: 3, chunk: 100 });
      const rng = random(3);
      const start = Array.from({ length: 600 }, () => rng.below(13));
      const prompts = [
        start,
        start,
        [...start.slice(0, 520), 1, 2, 3],
        [...start.slice(0, 255), 4, 5],
        [...start, 7, 7, 7, 7, 7],
      ];
      const cached: number[] = [];
      for (const prompt of prompts) {
        const request = { prompt, maxTokens: 6, logprobs: 3 };
        const { prompt: read, tokens } = await answerOf(engine.submit(request));
        cached.push(read.cached);
        expect(tokens.map(({ token }) => token)).toEqual(await aloneOf(alone, request));
        const again = await pairOf(long(name), device, 21, { maxBatch: 1, slots: false });
        const fresh = await answerOf(again.engine.submit(request));
        await again.close();
        expect(fresh.prompt.cached).toBe(0);
        tokens.forEach(({ score }, i) =>
          expect(Math.abs(score!.logprob - fresh.tokens[i]!.score!.logprob)).toBeLessThan(1e-4),
        );
      }
      expect(cached).toEqual([0, 592, 512, 0, 592]);
      // A prompt that is read beside others gives and finds them too.
      const others = [8, 9, 10].map((last) => ({ prompt: [...start.slice(0, 300), last], maxTokens: 5 }));
      const found = await Promise.all(others.map((request) => answerOf(engine.submit(request))));
      for (const [i, { prompt, tokens }] of found.entries()) {
        expect(prompt.cached).toBe(256);
        expect(tokens.map(({ token }) => token)).toEqual(await aloneOf(alone, others[i]!));
      }
      await close();
    });

  it("are behind tokens that were generated too, each 256 of a text", { tags: "long" }, async () => {
    const { engine, alone, close } = await pairOf(long(HYBRID), device, 21, { maxBatch: 2 });
    const first = { prompt: Array.from({ length: 250 }, (_, i) => (i * i) % 13), maxTokens: 12 };
    const { tokens } = await answerOf(engine.submit(first));
    const next = { prompt: [...first.prompt, ...tokens.map(({ token }) => token), 3, 1], maxTokens: 4 };
    const found = await answerOf(engine.submit(next));
    expect(found.prompt.cached).toBe(256);
    expect(found.tokens.map(({ token }) => token)).toEqual(await aloneOf(alone, next));
    await close();
  });
});

describe("with less room than a text has places for them", () => {
  const DELTA = "a delta rule behind a short convolution";
  /** An engine for two texts with so many snapshots, and what of a prompt it has kept, after its text was checked. */
  const roomFor = async (source: string, snapshots: number, memory: { cacheMemory: number } | { memory: number }) => {
    const { engine, alone, close } = await pairOf(source, device, 21, { maxBatch: 2, chunk: 100, ...memory });
    const paged = compileGeneration(source, { caches: "pages" }).generation as PagedModel;
    const parts = divided(paged, engine.state.cache.limit, 2);
    expect(Math.floor(parts.snapshots / statesOf(source))).toBe(snapshots);
    const cachedOf = async (...prompts: readonly (readonly number[])[]): Promise<readonly number[]> => {
      const requests = prompts.map((prompt) => ({ prompt, maxTokens: 3 }));
      const answers = await Promise.all(requests.map((request) => answerOf(engine.submit(request))));
      for (const [i, { tokens }] of answers.entries())
        expect(tokens.map(({ token }) => token)).toEqual(await aloneOf(alone, requests[i]!));
      return answers.map(({ prompt }) => prompt.cached);
    };
    return { cachedOf, close };
  };
  const tokens = (count: number, seed: number): readonly number[] => {
    const rng = random(seed);
    return Array.from({ length: count }, () => rng.below(13));
  };

  for (const room of [1, 2])
    it(`leave a text its last: ${room} of 3`, { tags: "long" }, async () => {
      const source = long(DELTA);
      const { cachedOf, close } = await roomFor(source, room, { cacheMemory: (2 + room) * statesOf(source) });
      // Places after 256, 512 and 592 tokens.
      const start = tokens(600, 5);
      expect(await cachedOf(start)).toEqual([0]);
      expect(await cachedOf(start)).toEqual([592]);
      const longer = [...start, ...tokens(60, 6)];
      expect(await cachedOf(longer)).toEqual([592]);
      expect(await cachedOf(longer)).toEqual([656]);
      const others = [1, 2].map((first) => [first, ...start]);
      expect(await cachedOf(...others)).toEqual([0, 0]);
      // With room for one, the text that was read last has it.
      const found = await cachedOf(...others);
      expect(found.filter((cached) => cached === 592)).toHaveLength(room);
      await close();
    });

  it("leave a text its last: 6 of 7 beside keys and values", { tags: "long" }, async () => {
    const source = RECURRENT_MODELS[HYBRID]!.replace("T <= 24", "T <= 1700");
    const { cachedOf, close } = await roomFor(source, 6, { memory: 1664 });
    const start = tokens(1600, 7);
    expect(await cachedOf(start)).toEqual([0]);
    expect(await cachedOf(start)).toEqual([1584]);
    // It has lost the one that leaves the smallest gap, after 1536 tokens.
    expect(await cachedOf([...start.slice(0, 1560), 1, 2, 3])).toEqual([1280]);
    expect(await cachedOf([...start.slice(0, 400), 1, 2, 3])).toEqual([256]);
    await close();
  });
});

it("give up those used longest ago, and never take more memory than they have", { tags: "long" }, async () => {
  const source = long("a delta rule behind a short convolution");
  const state = statesOf(source);
  // Three snapshots beside the states of two texts.
  const { engine, alone, close } = await pairOf(source, device, 21, { maxBatch: 2, cacheMemory: 5 * state });
  expect(engine.state.cache).toMatchObject({ used: 0, kept: 0, free: 5 * state, limit: 5 * state });
  const prompts = Array.from({ length: 5 }, (_, i) => Array.from({ length: 20 }, (_x, at) => (at * at + i) % 13));
  const cachedOf = async (prompt: readonly number[]): Promise<number> => {
    const stream = engine.submit({ prompt, maxTokens: 3 });
    const { prompt: read, tokens } = await answerOf(stream);
    expect(tokens.map(({ token }) => token)).toEqual(await aloneOf(alone, { prompt, maxTokens: 3 }));
    const { used, kept, free, limit } = engine.state.cache;
    expect([used, kept + free, limit]).toEqual([0, limit, 5 * state]);
    return read.cached;
  };
  for (const prompt of prompts) expect(await cachedOf(prompt)).toBe(0);
  expect(engine.state.cache.kept).toBe(3 * state);
  for (const prompt of prompts.slice(2)) expect(await cachedOf(prompt)).toBe(16);
  expect(await cachedOf(prompts[0]!)).toBe(0);
  await close();
});

it("are refused memory that does not hold the states of all texts", async () => {
  const state = statesOf(long(HYBRID));
  await expect(pairOf(long(HYBRID), device, 1, { maxBatch: 4, cacheMemory: 4 * state })).rejects.toThrow(
    /the keys and values of two pages of 16 tokens, and the states of 4 texts/,
  );
});
