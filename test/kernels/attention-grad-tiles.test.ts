// The gradient of attention in tiles of several heights, by subgroups and by workgroups, agrees with the reference. Its
// kernels compile slowly: `tunings.test.ts` goes through tilings with attention itself.
import { beforeAll, describe, expect, it } from "vitest";
import type { Device } from "../../src/runtime/index.js";
import { candidates, tuningsFor } from "../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { caseOf, samples } from "../compiler/ops/samples.js";
import { thinned } from "../soak.js";
import { compareOnDevice } from "./operators.js";

const TRIED = ["workgroup 16 × 4", "workgroup 32 × 16", "subgroup 4"];
const sample = samples.attention_grad.list.find((s) => s.name === "groups of heads")!;

describe.each(["default", "swiftshader"] as const)("on the %s device", (which) => {
  let device: Device;
  beforeAll(async () => {
    device = await testDevice(which);
  });

  it.each(thinned(which, TRIED, 3))("%s", { tags: "long", timeout: 120_000 }, async (name) => {
    const found = candidates("attention", device.target).find((c) => c.name === name);
    if (!found) {
      expect(name, "every device runs those by workgroups").toMatch(/^subgroup/);
      return;
    }
    const tunings = { ...tuningsFor(device.target), attention: found.tunings };
    for (const op of ["attention_kept", "attention_grad"] as const) {
      const own = op === "attention_grad" ? sample : samples.attention_kept.list.find((s) => s.name === sample.name)!;
      await compareOnDevice(device, op, caseOf(op, own), device.target, tunings);
    }
  });
});
