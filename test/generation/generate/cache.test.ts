// The memory of caches, as programs lay it out, against the ledger's count of what caches hold.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { compile } from "../../../src/compiler/compile.js";
import { compileGeneration } from "../../../src/compiler/compile-generation.js";
import { ledger } from "../../../src/compiler/cost/ledger.js";
import { ContiguousCaches } from "../../../src/generation/engine/caches/contiguous.js";
import { summarise, Timing } from "../../../src/generation/engine/summary.js";
import { parseSize } from "../../../src/ground/size/parse-size.js";
import { toNumber } from "../../../src/ground/numerics/rational.js";
import { evaluateSize } from "../../../src/ground/size/size.js";
import { RECURRENT_MODELS } from "./models.js";

const source = readFileSync(join(import.meta.dirname, "../../../examples/moby.mod"), "utf8");
const T = 4096;

it.each([
  ["a quarter of the layers' tokens", { capacity: "25%", depth: "4" }, 0.625],
  ["an eighth", { capacity: "12.5%" }, 0.5625],
  ["an eighth, more layers and heads", { capacity: "12.5%", depth: "12", heads: "8", dim: "256" }, 0.5625],
  ["all of them", { capacity: "100%" }, 1],
])(
  "of models like moby at 4096 tokens is what the ledger says, where routed layers take %s",
  { tags: "long" },
  (_what, parameters, share) => {
    const set = { ...parameters, context: String(T) };
    const { graph, model } = compile(source, { phase: "generate", set });
    const extents = new Map([
      ["B", 1],
      ["T", T],
    ]);
    const { executed, dense } = ledger(graph!, model!, { extents }).total;
    expect(executed.cache / dense.cache).toBe(share);

    const { generation } = compileGeneration(source, { set });
    const caches = new ContiguousCaches(generation!, T);
    // Slots of the step's states, at the extents that a generation of so many tokens asks for.
    const states = generation!.step.states.filter(
      (s) => s.name.startsWith("cache.") && /\.(keys|values)$/.test(s.name),
    );
    const bytes = states.map(({ slot }) => {
      const size = generation!.step.slots[slot]!.bytes;
      const value = evaluateSize(typeof size === "number" ? size : parseSize(size), (atom) => {
        if (atom.kind === "live") throw new Error("a cache's size is no live parameter's");
        const extent = caches.loading[atom.axis];
        if (extent === undefined) throw new Error(`a cache lies along ${atom.axis}`);
        return extent;
      });
      return toNumber(value);
    });
    expect(states).toHaveLength(2 * generation!.layers.length);
    expect(bytes.reduce((a, b) => a + b, 0)).toBe(executed.cache);

    // What a summary says of a generation whose routes take as many tokens as is expected.
    const rows = generation!.axes.map((a) => Uint32Array.of(T * a.expected));
    const { cache } = summarise(generation!, {
      prompts: [T],
      generatedTokens: [1],
      read: rows.map((r) => [...r]),
      rows: rows.map((r) => [...r]),
      allocated: rows.map((own, axis) => caches.allocated(axis, [...own])),
      timing: new Timing(),
    });
    expect(cache).toEqual({ used: executed.cache, allocated: executed.cache, dense: dense.cache });
  },
);

it("of recurrences is a state of fixed size for each text, in use once tokens are read", () => {
  const { generation } = compileGeneration(RECURRENT_MODELS["a delta rule behind a short convolution"]!);
  const each = generation!.states!.reduce((sum, { bytes }) => sum + bytes, 0);
  expect(each).toBeGreaterThan(0);
  const keys = generation!.layers.reduce((sum, { bytes }) => sum + bytes, 0);
  const { cache } = summarise(generation!, {
    prompts: [5, 7, 3],
    generatedTokens: [1, 1, 0],
    read: [],
    rows: [[5, 7, 0]],
    allocated: [48],
    timing: new Timing(),
  });
  const used = 12 * keys + 2 * each;
  expect(cache).toEqual({ used, allocated: 48 * keys + 3 * each, dense: used });
});

it("of latent attention is one row of each token, and of the chosen tokens where it is routed", () => {
  const text = `import { Embedding, MLA, MoD, Residual } from "std"
model Latent(dim: int = 32) {
  embed: Embedding(50, dim)
  one: Residual(MLA(dim, 4, latent: 16, plain: 8, rotated: 4, value_dim: 8))
  two: MoD(MLA(dim, 4, latent: 16, plain: 8, rotated: 4, value_dim: 8), dim, 25%)
  forward(tokens: u32[B, T <= 64]) -> f32[B, T, 50] { two(one(embed(tokens))) @ transpose(embed.table) }
}`;
  const { generation } = compileGeneration(text);
  const states = generation!.step.states.filter(({ name }) => name.startsWith("cache.") && !name.includes("positions"));
  expect(states.map(({ name, shape }) => [name, ...shape.slice(1)])).toEqual([
    ["cache.one.inner.keys", 1, 20],
    ["cache.two.inner.keys", 1, 20],
  ]);
  const { graph, model } = compile(text, { phase: "generate" });
  const extents = new Map([
    ["B", 1],
    ["T", 64],
  ]);
  expect(ledger(graph!, model!, { extents }).total.executed.cache).toBe(4 * 20 * (64 + 16));
});
