// Sums over tokens of few tiles divide their depth among workgroups: the parts, added up in order, are the product,
// with all that is fused behind it; the same bits in every run.
import { expect, it } from "vitest";
import { compile, programFor } from "../../src/compiler/compile.js";
import type { Precision } from "../../src/runtime/program/target.js";
import { evaluate } from "../../src/compiler/reference/evaluate.js";
import { type Device, initialValues, load } from "../../src/runtime/index.js";
import { tuningsFor, type ProductTunings } from "../../src/compiler/schedule/tunings/index.js";
import { matrixTunings } from "../../src/compiler/schedule/tunings/matrix.js";
import { matrixDevice, testDevice } from "../device.js";
import { random } from "../random.js";
import { soaking } from "../soak.js";

/** A weight that is used twice, so that one gradient is added to another; what is multiplied has a norm. */
const TWICE = `import { RMSNorm } from "std"
model Twice() {
  norm: RMSNorm(32)
  weight w: f32[32, 32] = normal(0.3)
  forward(x: f32[B, T <= 512, 32]) -> f32[B, T, 32] { norm(x @ w + x) @ w }
  objective(x: f32[B, T <= 512, 32]) { loss square = mean(forward(x) ^ 2) }
}`;
const ONCE = `model Once() {
  weight w: f32[32, 36] = normal(0.3)
  forward(x: f32[B, T <= 512, 32]) -> f32[B, T, 36] { x @ w }
  objective(x: f32[B, T <= 512, 32]) { loss square = mean(forward(x) ^ 2) }
}`;

async function check(
  source: string,
  device: Device,
  products: ProductTunings,
  precision: Precision,
  allowed: number,
): Promise<readonly string[]> {
  const { target } = device;
  const { graph, model, sources, diagnostics } = compile(source, { target, precision, program: "gradients" });
  if (!graph || !model) throw new Error(diagnostics.map((d) => d.message).join());
  const program = programFor({ graph, model, sources }, target, { ...tuningsFor(target), products }, precision);
  const initial = (w: Parameters<typeof initialValues>[0]): Float32Array => initialValues(w, 3) as Float32Array;
  const weights = new Map(program.weights.map((w) => [w.path, { shape: w.shape, data: initial(w) }]));
  const session = await load(program, device, initial);
  const rng = random(4);
  // Enough tokens to fill three parts out of four; fewer than one part has.
  for (const lengths of [
    [170, 20],
    [5, 0],
  ]) {
    const shape = [2, lengths[0]!, 32];
    const x = { shape, data: Float32Array.from({ length: 2 * lengths[0]! * 32 }, () => rng.normal()) };
    const run = () => session.run({ x }, { lengths: Uint32Array.from(lengths) });
    const [found, again] = [await run(), await run()];
    const { outputs } = evaluate(graph, { inputs: new Map([["x", x]]), weights, lengths });
    const gradients = Object.keys(found).filter((name) => name.startsWith("grad."));
    expect(gradients.length).toBe(program.weights.length);
    for (const name of gradients) {
      const { data } = outputs.get(name)!;
      const largest = Math.max(...data.map(Math.abs));
      const worst = data.reduce((most, v, i) => Math.max(most, Math.abs(v - found[name]!.data[i]!)), 0);
      expect(worst / largest, `${name}, ${lengths.join()} tokens`).toBeLessThan(allowed);
      expect(again[name]!.data).toEqual(found[name]!.data);
    }
  }
  session.dispose();
  return program.steps.flatMap((s) =>
    s.kind === "dispatch" ? [program.kernels[s.kernel]!.name.replace(/\.\d+$/, "")] : [],
  );
}

it.each(soaking ? (["default", "swiftshader"] as const) : (["default"] as const))("on the %s device", async (which) => {
  const device = await testDevice(which);
  // Sums of some hundred terms, of two layers.
  const files = await check(TWICE, device, { ...tuningsFor(device.target).products, workgroups: 8 }, {}, 2e-5);
  expect(files.filter((file) => file === "sum_parts").length).toBe(2);
});

it("on matrix units", async (context) => {
  const device = await matrixDevice();
  if (typeof device === "string") {
    context.skip(device);
    return;
  }
  const roundingByValue = matrixTunings(device.target).find(({ down, depth }) => down === 2 && depth === 32)!;
  const products = { ...tuningsFor(device.target).products, workgroups: 16, roundingByValue };
  const files = await check(ONCE, device, products, { products: "f16" }, 2 ** -8);
  expect(files.filter((file) => file === "sum_parts").length).toBe(1);
  expect(files).toContain("matmul_matrix");
});
