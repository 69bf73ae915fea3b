// The pages of texts and of prefixes: what a run may need at most, what it took, and what is kept for others.
import { expect, it } from "vitest";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { PagedCaches } from "../../../src/generation/engine/caches/paged.js";
import { bytesByAxis, divided, stateBytes, type PagedModel } from "../../../src/generation/engine/caches/use.js";
import { checkEngine } from "../../../src/generation/engine/options.js";
import type { Sequence } from "../../../src/generation/engine/sequences/sequence.js";
import type { Session } from "../../../src/runtime/index.js";
import { LM, MODELS, RECURRENT_MODELS } from "../generate/models.js";
import { sequenceOf as plainSequence } from "./sequences.js";

const { generation } = compileGeneration(MODELS["mixture of depths"]!, { caches: "pages" });
const [paged] = checkEngine(generation!, {});
const { page, axes } = paged.pages;
const bytes = bytesByAxis(paged).map((each) => each * page);

const sequenceOf = (prompt: readonly number[]): Sequence => plainSequence({ prompt, axes: axes.length });
/** One that shares no prefix. */
const alone = (prompt: readonly number[]): Sequence =>
  plainSequence({ prompt, axes: axes.length, reader: { scoresPrompt: true } });

it("pages of tokens that did not take a route are taken back, those that a run in flight may need are not", () => {
  const memory = new PagedCaches(paged, 1e6, 2);
  const prompt = Array.from({ length: 3 * page }, (_, i) => i % 5);
  const sequence = sequenceOf(prompt);
  memory.admit([sequence]);
  const pagesOf = (): number[] => memory.pagesOf(sequence).map((own) => own.length);
  expect(memory.give([{ sequence, tokens: prompt.length }])).toBe("given");
  expect(pagesOf()).toEqual(axes.map(({ pool }) => (pool === null ? 0 : 3)));
  sequence.inFlight = prompt.length;
  expect(memory.give([{ sequence, tokens: 1 }])).toBe("given");
  expect(pagesOf()).toEqual(axes.map(({ pool }) => (pool === null ? 0 : 4)));
  // The chunk is answered: one token took the route. A step is in flight.
  [sequence.inFlight, sequence.read] = [1, prompt.length];
  sequence.rows = axes.map((_, axis) => (axis === 0 ? prompt.length : 1));
  const before = memory.bytes.held;
  memory.settle(sequence);
  expect(pagesOf()).toEqual(axes.map(({ pool }, axis) => (pool === null ? 0 : axis === 0 ? 4 : 1)));
  expect(memory.bytes.held).toBeLessThan(before);
});

it("prefixes are given up where pools of several axes cannot grow together", async () => {
  const all = bytes.reduce((a, b) => a + b, 0);
  const memory = new PagedCaches(paged, 8 * all + Math.max(...bytes), 2);
  // A text fills all pages, and leaves them to others that begin alike.
  const first = alone(Array.from({ length: 8 * page }, (_, i) => i % 5));
  memory.admit([first]);
  expect(memory.give([{ sequence: first, tokens: 8 * page }])).toBe("given");
  first.read = 8 * page;
  first.rows = axes.map(() => 8 * page);
  memory.takenBy(first).forEach((own) => own?.push(...Array.from({ length: 8 * page }, (_, i) => i)));
  memory.settle(first);
  memory.release(first, true);
  expect([memory.prefixes.size, memory.bytes.held]).toEqual([8, 8 * all]);
  // One page of either axis may be had, not both.
  const second = sequenceOf([6]);
  memory.admit([second]);
  const given = memory.give([{ sequence: second, tokens: 1 }]);
  if (typeof given === "object") {
    const session = { growStates: async () => {} } as unknown as Session; // of which it calls no more
    expect(await memory.grow(session, given)).toBe(true);
    expect(memory.give([{ sequence: second, tokens: 1 }])).toBe("given");
  } else expect(given).toBe("given");
  expect(memory.prefixes.size).toBe(7);
});

it("a block is kept behind another only where the same tokens took the same routes", () => {
  const memory = new PagedCaches(paged, 1e6, 2);
  const prompt = Array.from({ length: 2 * page }, (_, i) => i % 5);
  /** Of the first block it has these on the routes; of the second the first token. */
  const read = (taken: readonly number[]): void => {
    const sequence = alone(prompt);
    memory.admit([sequence]);
    memory.give([{ sequence, tokens: 2 * page }]);
    sequence.read = 2 * page;
    const known = memory.takenBy(sequence);
    known.forEach((own) => own?.push(...taken, page));
    sequence.rows = known.map((own) => own?.length ?? 2 * page);
    memory.settle(sequence);
    memory.release(sequence, true);
  };
  const other = [...prompt.slice(0, page), 6];
  read([0, 2]);
  expect(memory.prefixes.find("", prompt, 2 * page)?.rows).toEqual(axes.map((_, axis) => (axis === 0 ? 2 * page : 3)));
  // Until the second block is given up, it is the one that stays.
  while (memory.prefixes.find("", prompt, 2 * page)!.tokens > page) memory.prefixes.giveUp(0);
  read([0, 3]);
  expect(memory.prefixes.find("", prompt, 2 * page)).toMatchObject({ tokens: page });
  expect(memory.prefixes.find("", other, page + 1)!.taken.filter(Boolean)[0]).toEqual([0, 2]);
  read([0, 2]);
  expect(memory.prefixes.find("", prompt, 2 * page)).toMatchObject({ tokens: 2 * page });
});

it("is by default for keys and values of usual texts, at most 2 GiB but of one, with states beside them", () => {
  const compiled = (source: string) => compileGeneration(source, { caches: "pages" }).generation as PagedModel;
  const GiB = 2 ** 30;
  const parts = (model: PagedModel, maxBatch: number) =>
    divided(model, checkEngine(model, { maxBatch })[1].cacheMemory, maxBatch);
  // 8 KiB a token: keys and values of 1024 numbers.
  const wide = (context: number) =>
    compiled(LM("", "one: Residual(Layer(dim, 8))", "x = one(x)", context).replace("dim: int = 16", "dim: int = 1024"));
  const usual = parts(wide(100_000), 16);
  expect(usual).toEqual({ states: 0, pools: Math.max(16 * 1024, 100_000) * 8192, snapshots: 0 });
  expect(parts(wide(1024), 16).pools).toBe(16 * 1024 * 8192);
  expect(parts(wide(100), 16).pools).toBe(16 * 112 * 8192);
  expect(parts(wide(4096), 1000).pools).toBe(2 * GiB);
  expect(parts(wide(400_000), 1000).pools).toBe(400_000 * 8192);
  // Copies beside keys and values, and alone.
  const hybrid = compiled(RECURRENT_MODELS["a hybrid with a routed layer of each"]!);
  const own = parts(hybrid, 5);
  expect(own.states).toBe(5 * stateBytes(hybrid));
  expect(own.snapshots).toBeLessThanOrEqual(own.pools);
  const states = compiled(RECURRENT_MODELS["a delta rule behind a short convolution"]!);
  const state = stateBytes(states);
  expect(parts(states, 5)).toEqual({ states: 5 * state, pools: 0, snapshots: 20 * state });
  const large = compiled(
    RECURRENT_MODELS["a delta rule behind a short convolution"]!.replace("dim: int = 16", "dim: int = 8192"),
  );
  const each = stateBytes(large);
  expect(parts(large, 16)).toEqual({ states: 16 * each, pools: 0, snapshots: Math.min(2 * GiB, 64 * each) });
  expect(64 * each).toBeGreaterThan(2 * GiB);
});
