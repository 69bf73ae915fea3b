// A mixture of experts takes few dispatches whatever their number, and gives what the reference gives.
import { describe, expect, it } from "vitest";
import { expectClose } from "../close.js";
import { evaluate } from "../../src/reference/evaluate.js";
import { PORTABLE } from "../../src/program/target.js";
import { schedule } from "../../src/schedule/schedule.js";
import { testDevice } from "../device.js";
import { runOnDevice } from "../kernels/operators.js";
import { Bench, type Setting } from "../ops/bench.js";
import { mixture, type MixtureSizes } from "../ops/mixture.js";

const device = await testDevice();

function made(setting: Setting, sizes: MixtureSizes, seed = 5) {
  const b = new Bench(setting, seed);
  const x = b.rows([], [sizes.dim]);
  return b.finish(mixture(b, x, sizes, b.rows([], [sizes.dim])), "mixture");
}

describe("a mixture of gated networks", () => {
  it.each([2, 8, 64])("of %i experts gathers, gates and adds in its products and its sum", (experts) => {
    const { graph } = made({ batch: 2, tokens: 16 }, { dim: 64, hidden: 96, experts, k: 2 });
    const files = schedule(graph, PORTABLE).steps.map((s) => (s.kind === "dispatch" ? s.kernel.file : s.kind));
    const product = "matmul_vectors";
    expect(files.slice(1)).toEqual([
      "softmax",
      "top_entries",
      "take_entries",
      "sort_entries",
      product,
      product,
      "sum_entries",
    ]);
  });

  it.each([
    ["few rows", { tokens: 3 }, { dim: 36, hidden: 40, experts: 5, k: 2 }],
    ["one row", {}, { dim: 64, hidden: 64, experts: 9, k: 3 }],
    ["ragged rows", { batch: 3, tokens: 40, lengths: [40, 0, 17] }, { dim: 64, hidden: 96, experts: 4, k: 2 }],
    ["every expert", { tokens: 7 }, { dim: 32, hidden: 48, experts: 3, k: 3 }],
    ["odd sizes", { tokens: 33 }, { dim: 37, hidden: 41, experts: 6, k: 2 }],
  ] as const)("of %s agrees with the reference", async (_name, setting, sizes) => {
    const own = made(setting, sizes);
    const expected = evaluate(own.graph, own.options).outputs.get("y0")!.data;
    const largest = expected.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    for (const target of [device.target, PORTABLE]) {
      const { y0 } = await runOnDevice(device, own, target);
      expectClose(y0!.data, expected, () => 2e-6 * largest);
    }
  });
});
