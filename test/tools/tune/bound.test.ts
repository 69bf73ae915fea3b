// What `modc tune` says bounds a kernel: shares of its time at the measured rates.
import { describe, expect, it } from "vitest";
import { measureBest, type DeviceBest } from "../../../src/runtime/index.js";
import { tuningsFor } from "../../../src/compiler/schedule/tunings/index.js";
import { attentionWorkload, queryWorkload } from "../../../src/tools/tune/attention.js";
import { boundOf, sharesOf, type Work } from "../../../src/tools/tune/bound.js";
import { productWorkload } from "../../../src/tools/tune/products.js";
import { testDevice } from "../../device.js";

/** 1 TFLOP/s; 100 GB/s of 1 MB, 10 GB/s of 100 MB; 10 µs a dispatch, which every read includes. */
const BEST: DeviceBest = {
  flops: 1e12,
  reads: [
    { bytes: 1e6, seconds: 2e-5 },
    { bytes: 1e8, seconds: 1e-2 + 1e-5 },
  ],
  dispatchSeconds: 1e-5,
};
const work = (given: Partial<Work>): Work => ({ flops: 0, bytes: 0, dispatches: 1, ...given });

describe("of a second", () => {
  it.each([
    ["arithmetic", work({ flops: 9e11 }), { arithmetic: 0.9, memory: 0, dispatch: 1e-5 }],
    ["memory", work({ bytes: 6e9, flops: 5e11 }), { arithmetic: 0.5, memory: 0.6, dispatch: 1e-5 }],
    ["dispatch", work({ dispatches: 70_000, flops: 1e11 }), { arithmetic: 0.1, memory: 0, dispatch: 0.7 }],
    ["other", work({ flops: 4e11, bytes: 4e9, dispatches: 10 }), { arithmetic: 0.4, memory: 0.4, dispatch: 1e-4 }],
    ["other", work({ flops: null, bytes: 4e9 }), { arithmetic: null, memory: 0.4, dispatch: 1e-5 }],
  ] as const)("%s bounds %j", (by, given, shares) => {
    const found = sharesOf(given, 1, BEST);
    expect(found.by).toBe(by);
    for (const kind of ["arithmetic", "memory", "dispatch"] as const)
      if (shares[kind] === null) expect(found.shares[kind]).toBeNull();
      else expect(found.shares[kind]).toBeCloseTo(shares[kind], 9);
  });
});

it("bytes that fit a cache are read at its rate", () => {
  expect(sharesOf(work({ bytes: 5e5 }), 1e-5, BEST)).toMatchObject({ by: "dispatch", shares: { memory: 0.5 } });
  expect(sharesOf(work({ bytes: 2e6 }), 2e-4, BEST).shares.memory).toBeCloseTo(1, 9);
});

it("where noise has a dispatch that reads take less than one that does not, the whole counts", () => {
  const best = { ...BEST, dispatchSeconds: 1 };
  expect(sharesOf(work({ bytes: 1e6 }), 1, best).shares.memory).toBeCloseTo(2e-5, 9);
});

it("a workload's bytes and operations, and the kernels that run at a size, are those of its program", async () => {
  const device = await testDevice("default");
  const { target } = device;
  const of = { target, tunings: tuningsFor(target), seconds: 1 };
  const product = productWorkload({ depth: 70, columns: 45, transposed: true }, [1, 300]);
  const few = boundOf(product, 1, of, BEST);
  const many = boundOf(product, 300, of, BEST);
  expect(few.shares.arithmetic).toBeCloseTo((2 * 70 * 45) / 1e12, 15);
  expect(few.shares.memory).toBeCloseTo((4 * (70 * 45 + 70 + 45)) / 1e11, 12);
  for (const { kernels } of [few, many]) expect(kernels.at(-1)).toMatch(/^matmul/);
  expect(few.kernels).not.toEqual(many.kernels);
  const shape = { heads: 4, groups: 2, width: 12, valueWidth: 8, causal: true, window: 0 };
  expect(attentionWorkload(shape, [20]).bytes(20)).toBe(4 * 20 * (4 * (12 + 8) + 2 * (12 + 8)));
  expect(queryWorkload(shape, [20]).bytes(20)).toBe(4 * (4 * (12 + 8) + 20 * 2 * (12 + 8)));
  expect(boundOf(queryWorkload(shape, [20]), 20, of, BEST).kernels).toEqual([expect.stringMatching(/^attention/)]);
});

it(
  "what a device does at best is measured, and reads of more bytes take longer",
  { tags: "long", timeout: 300_000 },
  async () => {
    const { flops, reads, dispatchSeconds } = await measureBest(await testDevice("default"));
    expect(flops).toBeGreaterThan(1e8);
    expect(reads.map(({ bytes }) => bytes)).toEqual([1, 8, 64].map((n) => n * 2 ** 20));
    const [first, , last] = reads;
    expect(last!.seconds).toBeGreaterThan(first!.seconds);
    expect(dispatchSeconds).toBeGreaterThan(0);
    expect(dispatchSeconds).toBeLessThan(last!.seconds);
  },
);
