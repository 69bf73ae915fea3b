// The parts of the generation bench that judge: tokens that are not the likeliest are called so, and figures are what
// they say.
import { describe, expect, it } from "vitest";
import { weightBytes, type GenerateCase } from "../../bench/generating/cases.js";
import { below, type MeasuredGeneration } from "../../bench/generating/measure.js";
import { generationMusts, generationSections } from "../../bench/generating/report.js";
import type { Skipped } from "../../bench/generating/protocol.js";
import { timed } from "../../bench/generating/generator.js";
import { compile } from "../../src/compiler/compile.js";

const sent = (length: number) => ({ shape: [length], data: new Float32Array(length) });

describe("agreement", () => {
  // Logits of a token are a row of the table: after 0 comes 2, after 1 comes 0, after 2 comes 1.
  const source = `import { Embedding } from "std"
model Next(vocab: int = 3) {
  table: Embedding(vocab, vocab)
  forward(tokens: u32[B, T <= 9]) -> f32[B, T, vocab] { table(tokens) }
}`;
  const { graph } = compile(source, { phase: "generate" });
  const weights: [string, { shape: number[]; data: Float32Array }][] = [
    ["table.table", { shape: [3, 3], data: Float32Array.of(0, 1, 4, 8, 0, 0, 0, 2, 1) }],
  ];
  // all that is read
  const data = { prompt: Uint32Array.of(1, 0), weights } as unknown as Parameters<typeof below>[0]["data"];

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
  expect(weightBytes({ weightsAs: "f32", weights }, [0.25, 0])).toBe(4 * (100 + 40 + 0.25 * 48 + 5 + 0 + 5));
});

const measured = (
  id: string,
  times: readonly number[],
  more: Partial<MeasuredGeneration> = {},
): MeasuredGeneration => ({
  case: {
    id: `generate-${id}`,
    title: id,
    group: "generate-mod",
    model: "decoder",
    depth: 12,
    routed: null,
    weightsAs: "f32",
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
  skipped: null,
  ...more,
});

describe("what is asked", () => {
  const near = (value: number): readonly number[] => Array.from({ length: 99 }, (_, i) => value + (i - 49) / 1000);
  const always = (value: number): readonly number[] => Array.from({ length: 99 }, () => value);
  /**
   * A layer is two dispatches that choose and six that are idle, 0.3 and 0.7 ms; without them a token takes 10 ms, and
   * `left` more than the model that has no such layers.
   */
  const skipped = (left: readonly number[]): Skipped => ({
    full: always(12),
    busy: always(10.6),
    bare: always(10),
    without: left.map((t) => 10 - t),
    choiceDispatches: 4,
    idleDispatches: 12,
  });
  const all = (routed: number, left = always(0)) => [
    measured("mod-dense", [20, 22, 21]),
    measured("mod", [routed, routed, routed], { shares: [0.25, 0.25], weightBytes: 600 }),
    measured("mod-skipped", [12, 12, 12], { shares: [0, 0], skipped: skipped(left) }),
    measured("mod-without", [10, 10, 10]),
  ];
  it("divides the ratio of times by that of bytes", () => {
    // Two layers that three tokens of four skip, at 0.7 ms of idle dispatches each.
    expect(generationMusts(all(12.6))[0]).toMatchObject({
      got:
        "0.92 without idle dispatches, which take 1.05 ms a token, 1.00 with them: 0.600 (0.573 to 0.630) of the " +
        "time by 0.600 of the bytes; 25.0% of the tokens",
      verdict: "met",
    });
    expect(generationMusts(all(15.5))[0]).toMatchObject({
      got: expect.stringMatching(/^1\.15 .* 1\.23 with them/),
      verdict: "met",
    });
    expect(generationMusts(all(20))[0]).toMatchObject({ verdict: "missed" });
  });
  it("holds a skipped layer against its predictor and its idle dispatches", () => {
    expect(generationMusts(all(13, near(0)))[1]).toMatchObject({
      got:
        "1.00: 1000 µs (95%: 995 to 1005), by 300 of 2.0 dispatches for predictor and choice and 700 of 6.0 that " +
        "are idle; what is left of it without those: 0 (95%: -5 to 5)",
      verdict: "met",
    });
    expect(generationMusts(all(13, near(0.1)))[1]).toMatchObject({
      got: expect.stringMatching(/^1\.05: 1050 µs/),
      verdict: "missed",
    });
    expect(generationMusts(all(13, always(-0.1)))[1]).toMatchObject({
      got: expect.stringMatching(/^0\.95: 950 µs/),
      verdict: "met",
    });
    expect(
      generationMusts(
        all(
          13,
          near(0).map((t) => 100 * t),
        ),
      )[1],
    ).toMatchObject({ verdict: "lost in noise" });
  });
  it("says where nothing was measured, and nothing of what was not", () => {
    for (const must of generationMusts([])) expect(must).toMatchObject({ got: null, verdict: "not measured" });
    expect(generationSections([])).toEqual([]);
    const wrong = measured("mod", [], {
      times: new Map(),
      faults: new Map([["modc", "wrong: a token is 1e-1 below"]]),
    });
    expect(generationSections([wrong]).join("\n")).toContain("- modc, mod: wrong: a token is 1e-1 below");
  });
});
