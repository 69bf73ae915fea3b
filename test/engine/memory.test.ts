// The pages of one text: what a run may need at most, and what it took.
import { expect, it } from "vitest";
import { compileGeneration } from "../../src/compile-generation.js";
import { CacheMemory } from "../../src/engine/memory.js";
import { checkEngine } from "../../src/engine/options.js";
import { Sequence } from "../../src/engine/sequence.js";
import { MODELS } from "../generate/models.js";

it("pages of tokens that did not take a route are taken back, those that a run in flight may need are not", () => {
  const { generation } = compileGeneration(MODELS["mixture of depths"]!, { caches: "pages" });
  const [paged] = checkEngine(generation!, {});
  const memory = new CacheMemory(paged, 1e6);
  const { page, axes } = paged.pages;
  const prompt = Array.from({ length: 3 * page }, (_, i) => i % 5);
  // what `CacheMemory` looks at
  const settled = { request: { prompt }, kind: "" } as unknown as Sequence["settled"];
  const sequence = new Sequence(
    settled,
    axes.map(() => false),
    null as unknown as Sequence["stream"],
  );
  const pagesOf = (): number[] => sequence.pages.map((own) => own.length);
  expect(memory.give([{ sequence, tokens: prompt.length }])).toBe("given");
  expect(pagesOf()).toEqual(axes.map(({ pool }) => (pool === null ? 0 : 3)));
  sequence.inFlight = prompt.length;
  expect(memory.give([{ sequence, tokens: 1 }])).toBe("given");
  expect(pagesOf()).toEqual(axes.map(({ pool }) => (pool === null ? 0 : 4)));
  // The chunk is answered: of its tokens one took the route. A step is in flight.
  [sequence.inFlight, sequence.read] = [1, prompt.length];
  sequence.rows = axes.map((_, axis) => (axis === 0 ? prompt.length : 1));
  const before = memory.bytes.held;
  memory.settle(sequence);
  expect(pagesOf()).toEqual(axes.map(({ pool }, axis) => (pool === null ? 0 : axis === 0 ? 4 : 1)));
  expect(memory.bytes.held).toBeLessThan(before);
});
