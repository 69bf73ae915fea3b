// Random graphs around matrix products, scheduled for two targets with and without the passes: what their kernels
// compute is what the reference says.
import * as fc from "fast-check";
import { afterAll, expect, it } from "vitest";
import { testDevice } from "../../device.js";
import { cases, patience, seedOf } from "../../soak.js";
import { graphFrom, plots } from "./random-products.js";
import { outcome } from "./random-run.js";

const total = { compared: 0, beyond: 0 };
afterAll(() => {
  expect(total.compared).toBeGreaterThan(cases(100));
  expect(
    total.beyond,
    `${total.beyond} of ${total.beyond + total.compared} cases were too ill-conditioned for f32`,
  ).toBeLessThan(total.compared / 50);
});

it(
  "each of many random graphs around products agrees with the reference, however it is scheduled",
  { tags: "long", timeout: patience(300_000) },
  async () => {
    const device = await testDevice();
    await fc.assert(
      fc.asyncProperty(plots(14), fc.nat(1e6), async (plot, seed) => {
        const { fault, compared, beyond } = await outcome(graphFrom(plot), seed, device);
        total.compared += compared;
        total.beyond += beyond;
        expect(fault).toBeNull();
      }),
      { numRuns: cases(12), seed: seedOf(20261125), endOnFailure: true },
    );
  },
);
