// How much is submitted at once, from how long runs took: tables of runs in, steps ahead and chunks out.
import { expect, it } from "vitest";
import { Pace } from "../../../src/generation/engine/pace.js";

/** Runs one after the other: kind, tokens, milliseconds. */
type Runs = readonly (readonly ["prompt" | "step", number, number])[];

function after(runs: Runs, chunk = 256): Pace {
  const pace = new Pace(chunk);
  let now = 0;
  for (const [kind, tokens, milliseconds] of runs) {
    const began = now;
    now += milliseconds;
    expect(pace.ran({ kind, began }, tokens, 0, now)).toBeCloseTo(milliseconds);
  }
  return pace;
}
const times = (n: number, run: Runs[number]): Runs => Array.from({ length: n }, () => run);

it.each<readonly [string, Runs, number, number]>([
  ["one before a step was measured", [], 1, 1],
  ["some 40 ms of steps, eight at most", [["step", 1, 1]], 8, 8],
  ["half of them if prompts wait", [["step", 1, 8]], 5, 2],
  ["two of slow ones, one if prompts wait", [["step", 1, 100]], 2, 1],
  ["the last runs count most", [["step", 1, 1], ...times(20, ["step", 1, 10])], 5, 2],
  [
    "prompts say nothing of steps",
    [
      ["step", 1, 8],
      ["prompt", 64, 500],
    ],
    5,
    2,
  ],
])("steps ahead: %s", (_what, runs, ahead, hurried) => {
  const pace = after(runs);
  expect([pace.ahead(false), pace.ahead(true)]).toEqual([ahead, hurried]);
});

it.each<readonly [string, Runs, number]>([
  ["64 tokens between steps at first", [], 64],
  [
    "more if a chunk takes less than a step",
    [
      ["step", 1, 10],
      ["prompt", 64, 5],
    ],
    80,
  ],
  [
    "no more if the chunk was shorter",
    [
      ["step", 1, 10],
      ["prompt", 30, 5],
    ],
    64,
  ],
  [
    "fewer if it takes longer",
    [
      ["step", 1, 10],
      ["prompt", 64, 30],
    ],
    48,
  ],
  ["sixteen at least", [["step", 1, 10], ...times(9, ["prompt", 16, 30])], 16],
  ["not again as many as took too long", [["step", 1, 10], ["prompt", 64, 30], ...times(9, ["prompt", 64, 5])], 48],
  ["until that is long ago", [["step", 1, 10], ["prompt", 64, 30], ...times(65, ["prompt", 64, 5])], 64],
])("tokens of a chunk: %s", (_what, runs, between) => {
  const pace = after(runs);
  expect([pace.chunk(true), pace.chunk(false)]).toEqual([between, 256]);
});

it("a run that was submitted behind others begins when they end", () => {
  const pace = new Pace(256);
  expect(pace.ran({ kind: "step", began: 0 }, 1, 0, 10)).toBe(10);
  expect(pace.ran({ kind: "step", began: 1 }, 1, 0, 30)).toBe(20);
});

it("a run that waited for kernels says nothing", () => {
  const pace = new Pace(256);
  pace.ran({ kind: "step", began: 0 }, 1, 500, 600);
  expect(pace.ahead(false)).toBe(1);
});
