// Kernels of products that share a tile compute sums over the rows of their result in the same step, as the next norm
// and router read them: tiles through workgroup memory, and on matrix units where a device has them.
import { expect, it } from "vitest";
import { compile, programFor } from "../../src/compiler/compile.js";
import type { Precision } from "../../src/runtime/program/target.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { type Device, initialValues, load } from "../../src/runtime/index.js";
import { asStored } from "../../src/runtime/weights/stored.js";
import { tuningsFor, type ProductCase, type ProductTunings } from "../../src/compiler/schedule/tunings/index.js";
import { matrixTunings } from "../../src/compiler/schedule/tunings/matrix.js";
import { matrixDevice, testDevice } from "../device.js";
import { random } from "../random.js";

/** A product, and the mean and the mean square of its rows; columns that fill no panel. */
const SOURCE = `model Sums() {
  weight w: f32[40, 150] = normal(0.3)
  forward(x: f32[B, T, 40]) -> f32[B, T, 150] {
    y = x @ w
    y * rsqrt(mean(y ^ 2, axis: -1, keep: true) + 1e-6) + mean(y, axis: -1, keep: true)
  }
}`;

const forced = (device: Device, panel: number, tuning: ProductCase["tuning"]): ProductTunings => {
  const cases = [{ most: null, tuning }];
  const { products } = tuningsFor(device.target);
  return { ...products, panel, byWeight: cases, byWeightAnyRows: cases, leastColumns: 1, shapes: [] };
};

async function check(device: Device, products: ProductTunings, precision: Precision, kernel: string): Promise<void> {
  const { target } = device;
  const { graph, model, sources, diagnostics } = compile(SOURCE, { target, precision });
  if (!graph || !model) throw new Error(diagnostics.map((d) => d.message).join());
  const program = programFor({ graph, model, sources }, target, { ...tuningsFor(target), products }, precision);
  const own = program.kernels.filter(({ name }) => name.startsWith(kernel));
  expect(new Set(own.map(({ wgsl }) => /ROW_SUMS = (\d)u/.exec(wgsl)?.[1]))).toEqual(new Set(["2"]));
  const weights = new Map(
    program.weights.map((w) => [w.path, { shape: w.shape, data: asStored(w, initialValues(w, 3) as Float32Array) }]),
  );
  const session = await load(program, device, (w) => initialValues(w, 3));
  const rng = random(4);
  // The values are exact in f16, so that no kernel rounds them.
  const data = Float32Array.from({ length: 2 * 35 * 40 }, () => (rng.below(33) - 16) / 16);
  const x = { shape: [2, 35, 40], data };
  const lengths = [35, 17];
  const { output } = await session.run({ x }, { lengths: Uint32Array.from(lengths) });
  session.dispose();
  const wanted = evaluate(graph, { inputs: new Map([["x", x]]), weights, lengths }).outputs.get("output")!;
  // Sums of 150 values of some units, each rounded a few times.
  wanted.data.forEach((v, i) => expect(Math.abs(output!.data[i]! - v)).toBeLessThan(1e-4));
}

it.each([
  [4, 1, "matmul_tiled"],
  [8, 1, "matmul_alternating"],
  [8, 2, "matmul_tiled"],
] as const)("tiles of %i rows an invocation, %i panels wide", { tags: "long" }, async (rows, vectors, kernel) => {
  const device = await testDevice();
  await check(device, forced(device, 64, { kind: "tiled", rows, vectors }), {}, kernel);
});

it("tiles on matrix units, or what stands in for them where operands must not be rounded", async (context) => {
  const device = await matrixDevice();
  if (typeof device === "string") {
    context.skip(device);
    return;
  }
  const tuning = matrixTunings(device.target).find(({ columns, down }) => columns === 64 && down === 2)!;
  const own = forced(device, 32, tuning);
  await check(device, own, { weights: "f16" }, "matmul_matrix");
  await check(device, own, {}, "matmul_subgroup");
});
