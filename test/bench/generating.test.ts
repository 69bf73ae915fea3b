// The parts of the generation bench that judge: tokens that are not the likeliest are called so, and figures are what they say.
import { describe, expect, it } from "vitest";
import { weightBytes, type GenerateCase } from "../../bench/generating/cases.js";
import { below, type MeasuredGeneration } from "../../bench/generating/measure.js";
import { generationMusts, generationSections } from "../../bench/generating/report.js";
import { timed } from "../../bench/generating/generator.js";
import { compile } from "../../src/compile.js";

const sent = (length: number) => ({ shape: [length], data: new Float32Array(length) });

describe("agreement", () => {
  // Logits of a token are a row of the table: after 0 comes 2, after 1 comes 0, after 2 comes 1.
  const source = `import { Embedding } from "std"
model Next(vocab: int = 3) {
  table: Embedding(vocab, vocab)
  forward(tokens: u32[B, T <= 9]) -> f32[B, T, vocab] { table(tokens) }
}`;
  const { graph } = compile(source, { phase: "generate" });
  const weights: [string, { shape: number[]; data: Float32Array }][] = [["table.table", { shape: [3, 3], data: Float32Array.of(0, 1, 4, 8, 0, 0, 0, 2, 1) }]];
  const data = { prompt: Uint32Array.of(1, 0), weights } as unknown as Parameters<typeof below>[0]["data"]; // all that is read

  it("is complete where every token is the likeliest, and its lack a share of the largest logit where not", () => {
    expect(below({ graph: graph!, data }, [2, 1, 0])).toBe(0);
    expect(below({ graph: graph!, data }, [2, 1, 1])).toBe(1);
    expect(below({ graph: graph!, data }, [1, 0, 2])).toBe(0.75);
  });
  it("has no bound where a token is none", () => {
    expect(below({ graph: graph!, data }, [2, 1, 7])).toBe(Infinity);
  });
});

it("times tokens after the first apart from it", async () => {
  const given = await timed(3, async (i) => i * 10);
  expect([...given.tokens]).toEqual([0, 10, 20]);
  expect(given.first).toBeGreaterThanOrEqual(0);
  expect(given.milliseconds).toBeGreaterThanOrEqual(0);
});

it("counts of a routed layer the share that was read, and its predictor whole", () => {
  const weights = [
    ["embed.table", sent(100)],
    ["layers.0.inner.up.weight", sent(40)],
    ["layers.1.inner.up.weight", sent(40)],
    ["layers.1.router.weight", sent(8)],
    ["layers.1.guess.up.weight", sent(5)],
    ["layers.3.inner.up.weight", sent(40)],
    ["layers.3.guess.up.weight", sent(5)],
  ] as const;
  expect(weightBytes({ weights }, [0.25, 0])).toBe(4 * (100 + 40 + 0.25 * 48 + 5 + 0 + 5));
});

const measured = (id: string, times: readonly number[], more: Partial<MeasuredGeneration> = {}): MeasuredGeneration => ({
  case: {
    id: `generate-${id}`,
    title: id,
    group: "generate-mod",
    model: "decoder",
    depth: 12,
    routed: null,
    drawn: true,
    ways: ["modc"],
  } satisfies GenerateCase,
  prompt: 2,
  count: 3,
  times: new Map([["modc", times]]),
  firsts: new Map([["modc", times]]),
  differences: new Map(),
  faults: new Map(),
  shares: [],
  weightBytes: 1000,
  step: null,
  beyond: [],
  ...more,
});

describe("what is asked", () => {
  const step = { choice: 0.6, idle: 1.4, choiceDispatches: 10, idleDispatches: 30, dispatches: 90 };
  const all = (routed: number, skipped: number, beyond = [skipped - 10, skipped - 9.9, skipped - 10.1]) => [
    measured("mod-dense", [20, 22, 21]),
    measured("mod", [routed, routed, routed], { shares: [0.25, 0.25], weightBytes: 600 }),
    measured("mod-skipped", [skipped, skipped, skipped], { shares: [0, 0], step, beyond }),
    measured("mod-without", [10, 10, 10]),
  ];
  it("divides the ratio of times by that of bytes", () => {
    // Two layers that three tokens of four skip, at 0.7 ms of idle dispatches each.
    expect(generationMusts(all(12.6, 12))[0]).toMatchObject({
      got: "0.92 without idle dispatches, which take 1.05 ms a token, 1.00 with them: 0.600 (0.573 to 0.630) of the time by 0.600 of the bytes; 25.0% of the tokens",
      verdict: "met",
    });
    expect(generationMusts(all(15.5, 12))[0]).toMatchObject({ got: expect.stringMatching(/^1\.15 .* 1\.23 with them/), verdict: "met" });
    expect(generationMusts(all(20, 12))[0]).toMatchObject({ verdict: "missed" });
  });
  it("holds a skipped layer against its predictor and its idle dispatches", () => {
    expect(generationMusts(all(13, 11.5))[1]).toMatchObject({
      got: expect.stringMatching(/^0\.75: 750 µs, half of 3 pairs 725 to 775, by 300 of 5\.0 dispatches for .* 700 of 15\.0 that are idle$/),
      verdict: "met",
    });
    expect(generationMusts(all(13, 13))[1]).toMatchObject({ verdict: "missed" });
    expect(generationMusts(all(13, 9))[1]).toMatchObject({ verdict: "lost in noise" });
  });
  it("says where nothing was measured, and nothing of what was not", () => {
    for (const must of generationMusts([])) expect(must).toMatchObject({ got: null, verdict: "not measured" });
    expect(generationSections([])).toEqual([]);
    const wrong = measured("mod", [], { times: new Map(), faults: new Map([["modc", "wrong: a token is 1e-1 below"]]) });
    expect(generationSections([wrong]).join("\n")).toContain("- modc, mod: wrong: a token is 1e-1 below");
  });
});
