import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  learningRate,
  LEARNING_RATES,
  parsePoints,
  parseRatio,
  piecewiseLinear,
  type LearningRateOptions,
} from "../../../src/tools/train/schedule.js";

const usual: LearningRateOptions = { kind: "cosine", peak: 1e-3, minimum: 1e-4, warmup: 10, steps: 100, decay: 20 };
const rates = (options: Partial<LearningRateOptions>): number[] => {
  const rate = learningRate({ ...usual, ...options });
  return Array.from({ length: 100 }, (_, step) => rate(step));
};

describe("the learning rate", () => {
  it.each(LEARNING_RATES)("of %s rises in equal steps to its peak, which the last step of the warm-up has", (kind) => {
    const found = rates({ kind });
    for (let step = 0; step < 10; step++) expect(found[step]).toBeCloseTo((1e-3 * (step + 1)) / 10, 12);
    expect(Math.max(...found)).toBe(1e-3);
  });

  it.each(["cosine", "linear", "wsd"] as const)(
    "of %s falls to its least at the last step and never rises after the warm-up",
    (kind) => {
      const found = rates({ kind });
      expect(found[99]).toBeCloseTo(1e-4, 15);
      for (let step = 10; step < 100; step++) expect(found[step]!).toBeLessThanOrEqual(found[step - 1]! + 1e-18);
      const rate = learningRate({ ...usual, kind });
      expect(rate(1000)).toBeCloseTo(1e-4, 15);
    },
  );

  it("has known values half-way", () => {
    expect(learningRate({ ...usual, warmup: 0 })(49)).toBeCloseTo(5.5e-4, 12);
    expect(learningRate({ ...usual, kind: "linear", warmup: 0 })(49)).toBeCloseTo(5.5e-4, 12);
    const wsd = rates({ kind: "wsd" });
    expect(wsd.slice(10, 80).every((rate) => rate === 1e-3)).toBe(true);
    expect(wsd[89]).toBeCloseTo(5.5e-4, 12);
    expect(rates({ kind: "constant", warmup: 0 }).every((rate) => rate === 1e-3)).toBe(true);
  });

  it("stays between 0 and its peak whatever the options", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...LEARNING_RATES),
        fc.integer({ min: 1, max: 300 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (kind, steps, share, floor) => {
          const warmup = Math.floor((steps - 1) * share);
          const rate = learningRate({
            kind,
            peak: 0.5,
            minimum: 0.5 * floor,
            warmup,
            steps,
            decay: Math.max(1, Math.floor((steps - warmup) / 2)),
          });
          for (let step = 0; step < steps; step++)
            expect(rate(step) > 0 || floor < 1e-9, `${kind} ${step}: ${rate(step)}`).toBe(true);
          for (let step = 0; step < steps; step++) expect(rate(step)).toBeLessThanOrEqual(0.5);
        },
      ),
      { seed: 20261125, numRuns: 100 },
    );
  });

  it("may warm up over the whole run, and over none of it", () => {
    expect(learningRate({ ...usual, warmup: 100 })(99)).toBe(1e-3);
    expect(learningRate({ ...usual, warmup: 0, steps: 1 })(0)).toBeCloseTo(1e-4, 12);
  });

  it.each([
    [{ peak: 0 }, "the learning rate is 0: it must be above 0"],
    [{ peak: NaN }, "the learning rate is NaN"],
    [{ minimum: 2e-3 }, "the least learning rate is 0.002: it must be between 0 and the peak, 0.001"],
    [{ warmup: 101 }, "the warm-up takes 101 steps: it must be from 0 to all of the 100"],
    [{ warmup: 1.5 }, "the warm-up takes 1.5 steps"],
    [{ steps: 0 }, "0 steps cannot be trained"],
    [{ kind: "wsd", decay: 91 }, "the decay takes 91 steps: it must be from 1 to the 90 that follow the warm-up"],
    [{ kind: "sine" as "cosine" }, '"sine" is not a schedule of the learning rate'],
  ] as const)("refuses %o", (options, message) => {
    expect(() => learningRate({ ...usual, ...options })).toThrow(message);
  });
});

describe("a live parameter", () => {
  it("goes in straight lines from point to point", () => {
    const capacity = piecewiseLinear([
      { step: 10, value: 1 },
      { step: 20, value: 0.5 },
      { step: 40, value: 0.125 },
    ]);
    expect([0, 10, 15, 20, 30, 40, 99].map(capacity)).toEqual([1, 1, 0.75, 0.5, 0.3125, 0.125, 0.125]);
    expect(piecewiseLinear([{ step: 5, value: 2 }])(0)).toBe(2);
  });

  it("is written as values at steps or shares of the run", () => {
    expect(parsePoints("100%@0, 1/8@50%,0.5@90", 200)).toEqual([
      { step: 0, value: 1 },
      { step: 100, value: 0.125 },
      { step: 90, value: 0.5 },
    ]);
    expect(() => piecewiseLinear(parsePoints("100%@0,1/8@50%,0.5@90", 200))).toThrow(
      "the points of a schedule must rise in step: 90 follows 100",
    );
    for (const wrong of ["", "1", "@3", "1@", "1@-1", "x@1", "1@1.5", "1/0@2", "1@1,"])
      expect(() => parsePoints(wrong, 10), wrong).toThrow("is not a value at a step");
  });

  it("is a ratio as the language writes it", () => {
    expect(["0.5", "12.5%", "1/8", "2", "1e-3", ".5"].map(parseRatio)).toEqual([0.5, 0.125, 0.125, 2, 0.001, 0.5]);
    for (const wrong of ["", "%", "1/", "1/2/3", "a", "0x10", "1%%", "Infinity", "NaN"])
      expect(parseRatio(wrong), wrong).toBeNull();
  });
});
