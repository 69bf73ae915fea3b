// The memory of training that plans tell: against a session on a device, against sums done by hand, and its laws.
import { describe, expect, it } from "vitest";
import { open, type Training } from "../../src/budget/opened.js";
import {
  fewestDevices,
  mostSequences,
  PRECISIONS,
  SHARDINGS,
  trainingMemory,
  type Layout,
} from "../../src/budget/memory.js";
import { USUAL_STEP } from "../../src/recipes.js";
import { load } from "../../src/runtime/index.js";
import { compileTraining } from "../../src/train/programs.js";
import { testDevice } from "../device.js";
import { exampleText } from "./planned.js";

const LENGTH = 64;
const SMALL = { dim: "64", heads: "2", depth: "3", vocab: "32", context: String(LENGTH) };

const extents = (sequences: number): ReadonlyMap<string, number> =>
  new Map([
    ["B", sequences],
    ["T", LENGTH],
  ]);

const training = open({
  source: { file: "moby.mod", text: exampleText("moby.mod") },
  read: () => null,
  set: SMALL,
}).training() as Training; // the example has an objective
const memory = trainingMemory(training, extents);
const alone: Layout = { sharding: "replicated", precision: "f32", recompute: false, devices: 1 };
const values = training.model.weights.reduce((sum, w) => sum + w.shape.reduce((n, d) => n * d, 1), 0);

describe("memory of training", () => {
  it.each([false, true])("is what a session on a device takes, within 5% (recomputed: %s)", async (recompute) => {
    const device = await testDevice();
    const { programs } = compileTraining(
      { source: exampleText("moby.mod"), file: "moby.mod", set: SMALL },
      { ...USUAL_STEP, microBatches: 1, recompute: recompute ? "all" : "none" },
      { target: device.target }, // with kernels of its own, where the plan is for any device
    );
    const session = await load(programs!.step, device, undefined, { seed: 1, max: { B: 4, T: LENGTH } });
    try {
      const told = memory({ ...alone, recompute }, 4).total;
      expect(Math.abs(told / session.memory.bytes - 1)).toBeLessThan(0.05);
    } finally {
      session.dispose();
    }
  });

  it("has weights, and two moments of four bytes each, whole where replicated", () => {
    for (const precision of PRECISIONS) {
      const { weights, moments } = memory({ ...alone, precision, devices: 4 }, 4);
      expect([weights, moments]).toEqual([(precision === "f32" ? 4 : 2) * values, 8 * values]);
    }
  });

  it("has equal parts of them under fsdp, and all of them on one device", () => {
    const { weights, moments, gathered } = memory({ ...alone, sharding: "fsdp", devices: 4 }, 4);
    expect([weights, moments]).toEqual([values, 2 * values]);
    const layer = training.model.weights
      .filter((w) => w.path.startsWith("layers.1."))
      .reduce((sum, w) => sum + w.shape.reduce((n, d) => n * d, 1), 0);
    expect(gathered).toBe(4 * (32 * 64 + 64 + 3 * layer));
    expect(memory({ ...alone, sharding: "fsdp" }, 4)).toEqual(memory(alone, 4));
  });

  it("has under tp half of every matrix of a layer that two divide, and the rest whole", () => {
    const { weights } = memory({ ...alone, sharding: "tp", devices: 2 }, 4);
    const divided = training.model.weights
      .filter((w) => w.path.startsWith("layers.") && w.shape.length === 2 && w.shape.every((d) => d % 2 === 0))
      .reduce((sum, w) => sum + w.shape.reduce((n, d) => n * d, 1), 0);
    expect(divided).toBeGreaterThan(values / 2);
    expect(weights).toBe(4 * (values - divided / 2));
    // No dimension is a multiple of 7.
    expect(memory({ ...alone, sharding: "tp", devices: 7 }, 4)).toEqual(memory(alone, 4));
  });

  it("grows with the batch, shrinks with devices, and is less in two bytes and with fewer tokens", () => {
    const dense = trainingMemory(training, extents, "dense");
    for (const sharding of SHARDINGS)
      for (const recompute of [false, true]) {
        const layout: Layout = { sharding, precision: "f32", recompute, devices: 2 };
        const { total } = memory(layout, 8);
        expect(memory(layout, 16).total).toBeGreaterThan(total);
        expect(memory({ ...layout, precision: "bf16" }, 8).total).toBeLessThan(total);
        expect(dense(layout, 8).total).toBeGreaterThan(total);
      }
    const shared = (devices: number): number => memory({ ...alone, sharding: "tp", devices }, 8).total;
    expect(shared(4)).toBeLessThan(shared(2));
  });

  it("bounds the batch: so many fit, and not one more", () => {
    const bytes = memory(alone, 5).total;
    expect(mostSequences(memory, alone, bytes)).toBe(5);
    expect(mostSequences(memory, alone, bytes - 1)).toBe(4);
    expect(mostSequences(memory, alone, 1000)).toBe(0);
  });

  it("says how many devices hold it, and that copies on more hold no more", () => {
    const sharded = { ...alone, sharding: "fsdp" } as const;
    const bytes = memory({ ...sharded, devices: 8 }, 1).total;
    const fewest = fewestDevices(memory, sharded, bytes)!;
    expect(memory({ ...sharded, devices: fewest }, 1).total).toBeLessThanOrEqual(bytes);
    expect(fewestDevices(memory, sharded, 1000)).toBeNull();
    expect(fewestDevices(memory, alone, memory(alone, 1).total - 1)).toBeNull();
    expect(fewestDevices(memory, alone, memory(alone, 1).total)).toBe(1);
  });
});
