// The memory of training that plans tell: against a session on a device, against sums done by hand, and its laws.
import { describe, expect, it } from "vitest";
import { open, type Training } from "../../../src/tools/budget/opened.js";
import {
  fewestDevices,
  mostSequences,
  PRECISIONS,
  SHARDINGS,
  trainingMemory,
  type Layout,
} from "../../../src/tools/budget/memory.js";
import { USUAL_STEP } from "../../../src/compiler/recipes.js";
import { load } from "../../../src/runtime/index.js";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { testDevice } from "../../device.js";
import { exampleText } from "./planned.js";

const LENGTH = 64;
const SMALL = { dim: "64", heads: "2", depth: "3", vocab: "32", context: String(LENGTH) };

const extents = (sequences: number): ReadonlyMap<string, number> =>
  new Map([
    ["B", sequences],
    ["T", LENGTH],
  ]);

function trainingOf(name: string, set: Readonly<Record<string, string>>): Training {
  const found = open({ source: { file: name, text: exampleText(name) }, read: () => null, set }).training();
  if (!found) throw new Error(`${name} has no objective`);
  return found;
}

/** The number of values in learned weights whose paths match. */
const sizeOf = ({ model }: Training, paths: RegExp): number =>
  model.weights
    .filter((w) => w.kind === "weight" && paths.test(w.path))
    .reduce((sum, w) => sum + w.shape.reduce((n, d) => n * d, 1), 0);

const training = trainingOf("moby.mod", SMALL);
const memory = trainingMemory(training, extents);
const alone: Layout = { sharding: "replicated", precision: "f32", recompute: false, devices: 1 };
const values = sizeOf(training, /./);

describe("memory of training", () => {
  it.each([false, true])(
    "is what a session on a device takes, within 5% (recomputed: %s)",
    { tags: "long" },
    async (recompute) => {
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
    },
  );

  it("has weights, and two moments of four bytes each, whole where replicated", () => {
    for (const precision of PRECISIONS) {
      const { weights, moments } = memory({ ...alone, precision, devices: 4 }, 4);
      expect([weights, moments]).toEqual([(precision === "f32" ? 4 : 2) * values, 8 * values]);
    }
  });

  it("has equal parts of them under fsdp, and all of them on one device", () => {
    const { weights, moments, gathered } = memory({ ...alone, sharding: "fsdp", devices: 4 }, 4);
    expect([weights, moments]).toEqual([values, 2 * values]);
    const layer = sizeOf(training, /^layers\.1\./);
    expect(gathered).toBe(4 * (32 * 64 + 64 + 3 * layer));
    expect(memory({ ...alone, sharding: "fsdp" }, 4)).toEqual(memory(alone, 4));
  });

  it("has under tp half of the matrices of attention and network, and router, predictor and norms whole", () => {
    const { weights } = memory({ ...alone, sharding: "tp", devices: 2 }, 4);
    const divided = sizeOf(training, /\.inner\.(?:attn|mlp)\.\w+\.weight$/);
    expect(sizeOf(training, /\.guess\./)).toBeGreaterThan(0);
    expect(weights).toBe(4 * (values - divided / 2));
    // No dimension is a multiple of 7; and of two heads four devices have no whole one, but of the network a part.
    expect(memory({ ...alone, sharding: "tp", devices: 7 }, 4)).toEqual(memory(alone, 4));
    const network = sizeOf(training, /\.mlp\./);
    expect(memory({ ...alone, sharding: "tp", devices: 4 }, 4).weights).toBe(4 * (values - (3 / 4) * network));
  });

  it("has under tp half of every expert, and the router whole, by whose scores is chosen", () => {
    const experts = trainingOf("moe.mod", { dim: "32", heads: "2", depth: "1", hidden: "32", vocab: "16" });
    const { weights } = trainingMemory(experts, extents)({ ...alone, sharding: "tp", devices: 2 }, 4);
    const divided = sizeOf(experts, /\.experts\.|\.[qkvo]\.weight$/);
    const router = sizeOf(experts, /\.router\./);
    expect([divided, router]).toEqual([8 * 3 * 32 * 32 + 4 * 32 * 32, 8 * 32]);
    expect(weights).toBe(4 * (sizeOf(experts, /./) - divided / 2));
  });

  it(
    "grows with the batch, shrinks with devices, and is less in two bytes and with fewer tokens",
    { tags: "long" },
    () => {
      const dense = trainingMemory(training.dense(), extents, "dense");
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
    },
  );

  it("is, with nothing skipped, the same whatever share of tokens is skipped", { tags: "long" }, () => {
    const denseAt = (capacity: string): readonly number[] => {
      const dense = trainingMemory(trainingOf("moby.mod", { ...SMALL, capacity }).dense(), extents, "dense");
      return [false, true].map((recompute) => dense({ ...alone, recompute }, 8).total);
    };
    expect(denseAt("12.5%")).toEqual(denseAt("50%"));
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
