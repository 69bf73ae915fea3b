// Tunings for operands that may be rounded to f16: chosen by what was measured, and measured where a device has matrix
// units, whose results are held to the host's.
import { describe, expect, it } from "vitest";
import { DEFAULT_LIMITS, type Target } from "../../../src/runtime/program/target.js";
import { attentionName, attentionOnUnits } from "../../../src/compiler/schedule/tunings/attention.js";
import { tuningsFor } from "../../../src/compiler/schedule/tunings/index.js";
import { weightTunings } from "../../../src/compiler/schedule/tunings/product-cases.js";
import { products } from "../../../src/compiler/schedule/tunings/products.js";
import { attentionWorkload } from "../../../src/tools/tune/attention.js";
import { productWorkload } from "../../../src/tools/tune/products.js";
import { adoptRounding, roundingChoices, withRounding, type RoundingTimes } from "../../../src/tools/tune/rounding.js";
import { measure, type Contender } from "../../../src/tools/tune/tournament.js";
import { matrixDevice } from "../../device.js";

const TARGET: Target = {
  device: "integrated",
  subgroups: [16, 16],
  f16: true,
  matrices: [{ m: 8, n: 16, k: 16, input: "f16", output: "f32" }],
  limits: DEFAULT_LIMITS,
};

describe("measured times", () => {
  const { rounding: _, roundingByValue: _v, ...base } = products.defaults(TARGET);
  const choices = roundingChoices(TARGET);
  const [plain, first] = choices;
  const timed = (depth: number, without: readonly number[], units: readonly number[]): RoundingTimes => ({
    depth,
    columns: 96,
    times: {
      sizes: [1, 32, 512],
      choices,
      seconds: choices.map((c) => (c === plain ? without : c === first ? units : [9, 9, 9])),
    },
    baseline: without,
  });

  it("give units the rows for which they gain, and leave the others as those of f32", () => {
    const found = adoptRounding(base, [timed(64, [1, 1, 1], [3, 1.2, 0.2])], false, TARGET);
    const { rounding, ...exact } = weightTunings(found, 64, 96);
    expect(found.subgroupSize).toBe(16);
    expect(exact).toMatchObject({ panel: base.panel, byWeight: base.byWeight, byWeightAnyRows: base.byWeightAnyRows });
    expect(rounding?.byWeight).toEqual([
      { most: 8, tuning: base.byWeight[0]!.tuning },
      { most: 32, tuning: base.byWeight[1]!.tuning },
      { most: null, tuning: first!.tuning },
    ]);
    expect(weightTunings(found, 64, 95).rounding).toBeUndefined();
    expect(products.incompatibility(found, TARGET)).toBeNull();
  });

  it("leave all as it is where nothing gains", () => {
    expect(adoptRounding(base, [timed(64, [1, 1, 1], [3, 1.2, 0.99])], true, TARGET)).toBe(base);
  });

  it("of all shapes give those that are not listed their cases", () => {
    const found = adoptRounding(
      base,
      [timed(64, [1, 1, 1], [3, 2, 0.2]), timed(32, [1, 1, 1], [3, 2, 0.1])],
      true,
      TARGET,
    );
    expect(weightTunings(found, 7, 9000).rounding?.byWeight.at(-1)).toEqual({ most: null, tuning: first!.tuning });
  });
});

it("choices are none without units", () => {
  const { matrices: _, ...without } = TARGET;
  expect(roundingChoices(without)).toEqual([]);
});

it(
  "products and attention on units are measured, and give what the host does",
  { tags: "long", timeout: 60_000 },
  async (context) => {
    const device = await matrixDevice();
    if (typeof device === "string") {
      context.skip(device);
      return;
    }
    const { target } = device;
    const base = tuningsFor(target);
    const limits = { deadline: performance.now() + 40_000, signal: new AbortController().signal, report: () => {} };
    const shape = { depth: 70, columns: 45, transposed: true };
    const [plain, units] = roundingChoices(target).map((c): Contender => ({
      name: c.name,
      tunings: { ...base, products: withRounding(base.products, shape, c, target) },
    }));
    const [tiles] = attentionOnUnits(target);
    const attention = { heads: 2, groups: 1, width: 12, valueWidth: 8, causal: true, window: 0 };
    for (const [workload, contenders] of [
      [productWorkload(shape, [9], true), [plain!, units!]],
      [
        attentionWorkload(attention, [20], true),
        [plain!, { name: attentionName(tiles!), tunings: { ...base, attention: tiles! } }],
      ],
    ] as const) {
      const { times, refused } = await measure(device, workload, contenders, limits);
      expect([refused, times.choices]).toEqual([[], contenders]);
    }
  },
);
