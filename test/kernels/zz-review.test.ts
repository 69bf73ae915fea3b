import { beforeAll, expect, it } from "vitest";
import type { Node } from "../../src/ir/graph.js";
import type { Precision, Target } from "../../src/program/target.js";
import type { Device } from "../../src/runtime/index.js";
import { rational } from "../../src/size/rational.js";
import { schedule } from "../../src/schedule/schedule.js";
import { tuningsFor, type ProductTuning, type Tunings } from "../../src/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { Bench, type Case } from "../ops/bench.js";
import { compareOnDevice, runOnDevice } from "./operators.js";

let device: Device;
beforeAll(async () => void (device = await testDevice()));
function forced(target: Target, tuning: ProductTuning, ahead: boolean): Tunings {
  const cases = [{ most: null, tuning }];
  const own = { byWeight: cases, byWeightAnyRows: cases, byValue: tuning };
  return { ...tuningsFor(target), products: { subgroupSize: null, panel: 32, leastColumns: 1, shapes: [], ...(ahead && { ahead }), ...own } };
}
const product = (M: number, K: number, N: number): Case => {
  const b = new Bench({}, 7);
  return b.finish(b.node("matmul", [b.data("f32", [M, K]), b.weight("w", "f32", [N, K])], { transposed: true }), "p");
};
const bits = async (own: Case, tunings: Tunings, precision: Precision): Promise<readonly number[]> => [
  ...((await runOnDevice(device, own, device.target, tunings, precision))["y0"]!.data as Float32Array),
];
it("queries that the device counts, in parts", async () => {
  const K = { kind: "above", parent: "T", expected: rational(1, 2) } as const;
  for (const part of [1, 4, null]) {
    const b = new Bench({ batch: 3, tokens: 70, lengths: [70, 0, 33], axes: { K } }, 5);
    b.above("K", b.rows([], []), b.data("f32", [], [0.1]));
    const on = (n: number, w: number, q: boolean): Node => {
      const x = b.rows([n], [w]);
      return q ? b.node("take", [x, b.index("K")], { dim: 1 }) : x;
    };
    const of = b.finish(b.node("attention", [on(4, 8, true), on(2, 8, false), on(2, 12, false), b.starts("K"), b.starts("T"), b.positions("K"), b.positions("T")], { causal: true, window: 0, scale: 0.4 }), "attention");
    const own = tuningsFor(device.target);
    const tunings = { ...own, attention: { ...own.attention, few: { lanes: 64, least: null, most: 65536, part } } } as Tunings;
    const files = schedule(of.graph, device.target, tunings).steps.flatMap((s) => (s.kind === "dispatch" ? [s.kernel.file] : []));
    console.log(part, files.join());
    await compareOnDevice(device, "attention", of, device.target, tunings);
  }
}, 300_000);
const row = (rows: number, vectors: number): ProductTuning => ({ kind: "row", rows, vectors });
it.each([
  [row(1, 8), 1, 1, 5, {}],
  [row(1, 8), 1, 65, 33, {}],
  [row(1, 8), 1, 1025, 128, {}],
  [row(1, 8), 1, 2500, 20, {}],
  [row(1, 4), 1, 1100, 131, {}],
  [row(4, 1), 5, 1100, 20, {}],
  [row(2, 8), 3, 2049, 33, {}],
  [row(1, 4), 1, 1120, 20, { weights: "q8" }],
  [row(2, 8), 3, 2144, 40, { weights: "q4" }],
  [row(1, 2), 1, 1100, 20, { weights: "f16" }],
] as const)("%j %i %i %i %j", async (tuning, M, K, N, precision) => {
  const own = product(M, K, N);
  const want = await bits(own, forced(device.target, { kind: "vectors", rows: 1, vectors: 1 }, false), precision);
  expect(await bits(own, forced(device.target, tuning, true), precision)).toEqual(want);
}, 300_000);
