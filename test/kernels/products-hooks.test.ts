// Products compute their a where they read it, and do more with their sums than store them, whichever kernel computes
// them.
import { words } from "../../src/compiler/schedule/codecs/words.js";
import { describe, expect, it } from "vitest";
import { assemble } from "../../src/compiler/codegen/region.js";
import { kernelFiles } from "../../src/ground/embedded.js";
import type { Device } from "../../src/runtime/index.js";
import { settle } from "../../src/runtime/device/wait.js";
import { Extents } from "../../src/compiler/schedule/analysis/extents.js";
import { matmul } from "../../src/compiler/schedule/kernels/products.js";
import { supportsRowSums } from "../../src/compiler/schedule/tunings/product-cases.js";
import {
  input,
  result,
  scratch,
  type KernelBuilder,
  type KernelContext,
  type Operand,
} from "../../src/compiler/schedule/kernels/spec.js";
import type { Step } from "../../src/compiler/schedule/plan/plan.js";
import { candidates, tuningsFor, type ProductTunings } from "../../src/compiler/schedule/tunings/index.js";
import { testDevice } from "../device.js";
import { expectClose } from "../close.js";
import { thinned } from "../soak.js";

const [M, K, N] = [37, 67, 72];

/** a[i, k] = source[i, k] · scales[i] · (1 + k mod 3). */
function loads(kernel: KernelBuilder): void {
  kernel.read("source", "f32", input(0)).read("scales", "f32", input(1)).function(`struct RowA { at: u32, scale: f32 }
fn rowA(batch: u32, row: u32) -> RowA { return RowA(row * depth(), scales[row]); }
struct ColA { scale: f32 }
fn colA(k: u32) -> ColA { return ColA(f32(k % 3u) + 1.0); }
fn valueA(r: RowA, c: ColA, k: u32) -> f32 { return source[r.at + k] * r.scale * c.scale; }`);
}

/** y = product + bias; of each row and panel, the sum of the product and that of its squares are kept. */
const finishes =
  (panels: number, sums: boolean) =>
  (kernel: KernelBuilder): void => {
    kernel.read("bias", "f32", input(3)).write("y", "f32", result());
    if (sums) kernel.write("kept", "f32", scratch());
    kernel.function(`alias Sums = vec2f;
const ROW_SUMS = ${sums ? 2 : 0}u;
fn finish(batch: u32, row: u32, column: u32, x: vec4f) -> Sums {
  var own = vec2f();
  for (var i = 0u; i < 4u; i++) {
    if (column + i < columnCount()) {
      y[row * columnCount() + column + i] = x[i] + bias[column + i];
      own += vec2f(x[i], x[i] * x[i]);
    }
  }
  return own;
}
fn keep(batch: u32, row: u32, panel: u32, sums: Sums) {
  ${sums ? `kept[(row * ${panels}u + panel) * 2u] = sums.x;\n  kept[(row * ${panels}u + panel) * 2u + 1u] = sums.y;` : ""}
}`);
  };

interface Results {
  readonly y: Float32Array;
  readonly kept: Float32Array;
}

type Data = Readonly<Record<"source" | "scales" | "b" | "bias", Float32Array>>;

/**
 * Runs each kernel that may compute the product, separately; b is a value [K, N], not a weight. The kernels are the
 * tunings' kernel and its stand-ins.
 */
async function run(device: Device, products: ProductTunings, data: Data): Promise<readonly Results[]> {
  const sums = supportsRowSums(products.byValue, products.panel, products.subgroupSize);
  const panels = Math.ceil(N / (4 * (products.subgroupSize ?? 8)));
  const type = (...shape: number[]) => ({ dtype: "f32" as const, shape });
  const context: KernelContext<"matmul"> = {
    attrs: { transposed: false },
    inputs: [type(M, K), type(K, N)],
    results: [type(M, N)],
    extents: new Extents([]),
    tunings: { ...tuningsFor(device.target), products },
    weights: [false, false, false, false],
    views: [null, null, null, null],
    resultViews: [],
    stored: {
      reads: [words, words, words, words],
      writes: [words],
      packed: null,
      rounds: false,
      inTexture: () => null,
    },
    inPlace: [],
    prologue: null,
    places: [-1, 2],
  };
  const { steps } = matmul(context, {
    loads,
    finishes: finishes(panels, sums),
    ownSum: null,
    inputStarts: -1,
    inputB: 2,
    unpacked: false,
    pairs: 0,
  });
  return Promise.all(steps.map((step) => runStep(device, step, panels, data)));
}

async function runStep(device: Device, step: Step<Operand>, panels: number, data: Data): Promise<Results> {
  const workgroups = step.kind === "dispatch" ? (step.standIn?.workgroups ?? step.workgroups) : null;
  if (step.kind !== "dispatch" || typeof workgroups !== "number")
    throw new Error("a product is a dispatch of known size");
  const { gpu } = device;
  const { buffers, uniforms, kernel } = { buffers: step.kernel.buffers, uniforms: step.uniforms, kernel: step.kernel };
  const words = Uint32Array.from(uniforms, (u) => ("size" in u && typeof u.size === "number" ? u.size : Number.NaN));
  const make = (bytes: number, usage: number): GPUBuffer => gpu.createBuffer({ size: Math.max(16, bytes), usage });
  const uniform = make(words.byteLength, GPU.uniform | GPU.copyDst);
  gpu.queue.writeBuffer(uniform, 0, words);
  const own = new Map(
    Object.entries({ ...data, y: new Float32Array(M * N), kept: new Float32Array(M * panels * 2) }).map(
      ([name, values]) => {
        const buffer = make(values.byteLength, GPU.storage | GPU.copyDst | GPU.copySrc);
        gpu.queue.writeBuffer(buffer, 0, values);
        return [name, { buffer, values }] as const;
      },
    ),
  );
  const module = gpu.createShaderModule({ code: assemble(kernelFiles[`${kernel.file}.wgsl`]!, kernel) });
  const pipeline = gpu.createComputePipeline({ layout: "auto", compute: { module, entryPoint: "main" } });
  const entries = [uniform, ...buffers.map(({ name }) => own.get(name)!.buffer)].map((buffer, binding) => ({
    binding,
    resource: { buffer },
  }));
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, gpu.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
  pass.dispatchWorkgroups(workgroups);
  pass.end();
  const reads = (["y", "kept"] as const).map((name) => {
    const { buffer, values } = own.get(name)!;
    const to = make(values.byteLength, GPU.mapRead | GPU.copyDst);
    encoder.copyBufferToBuffer(buffer, 0, to, 0, values.byteLength);
    return to;
  });
  gpu.queue.submit([encoder.finish()]);
  const [y, kept] = await Promise.all(
    reads.map(async (to) => {
      await settle(device.waitMode, () => to.mapAsync(1));
      return new Float32Array(to.getMappedRange().slice(0));
    }),
  );
  expect(device.uncaptured).toEqual([]);
  for (const buffer of [uniform, ...reads, ...[...own.values()].map((o) => o.buffer)]) buffer.destroy();
  return { y: y!, kept: kept! };
}

/** Usage bits of the WebGPU specification. */
const GPU = { mapRead: 1, copySrc: 4, copyDst: 8, uniform: 64, storage: 128 } as const;

const name = (products: ProductTunings): string => JSON.stringify(products.byValue);

function check(products: ProductTunings, { y, kept }: Results, data: Data, expected: readonly number[]): void {
  // 1e-5: 67 terms below 1, each rounded twice.
  expectClose(
    y,
    Float64Array.from({ length: M * N }, (_, at) => expected[at]! + data.bias[at % N]!),
    () => 1e-5,
    name(products),
  );
  if (!supportsRowSums(products.byValue, products.panel, products.subgroupSize)) return;
  const width = 4 * products.subgroupSize!;
  const panels = Math.ceil(N / width);
  for (let i = 0; i < M; i++)
    for (let p = 0; p < panels; p++) {
      const row = expected.slice(i * N + p * width, i * N + Math.min(N, (p + 1) * width));
      const of = (f: (v: number) => number): number => row.reduce((s, v) => s + f(v), 0);
      expect(Math.abs(kept[(i * panels + p) * 2]! - of((v) => v)), `${name(products)}, row ${i}`).toBeLessThan(1e-4);
      expect(
        Math.abs(kept[(i * panels + p) * 2 + 1]! - of((v) => v * v)),
        `${name(products)}, squares of row ${i}`,
      ).toBeLessThan(1e-4);
    }
}

describe.each(["default", "swiftshader"] as const)("on the %s device", (which) => {
  it("a product computes a, adds a bias and keeps sums of its rows in one step", { tags: "long" }, async () => {
    const device = await testDevice(which);
    let seed = 9;
    const values = (n: number): Float32Array =>
      Float32Array.from(
        { length: n },
        () => (seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32 - 0.5,
      );
    const data = { source: values(M * K), scales: values(M), b: values(K * N), bias: values(N) };
    const expected = Array.from({ length: M * N }, (_, at) => {
      const [i, j] = [Math.floor(at / N), at % N];
      let sum = 0;
      for (let k = 0; k < K; k++) sum += data.source[i * K + k]! * data.scales[i]! * ((k % 3) + 1) * data.b[k * N + j]!;
      return sum;
    });
    const plain: ProductTunings = { ...tuningsFor(device.target).products, byValue: { kind: "plain" } };
    const tried = candidates("products", device.target).filter((c) =>
      /^(vectors|subgroup) (1 × 2|4 × [24]|16 × [24])(, |$)/.test(c.name),
    );
    for (const products of [plain, ...thinned(which, tried, 2, 1).map((c) => c.tunings)]) {
      const runs = await run(device, products, data);
      const { byValue } = products;
      // For a tile of many sums another stands in, which is compiled sooner.
      expect(runs, name(products)).toHaveLength(
        byValue.kind === "subgroup" && byValue.rows * byValue.vectors > 8 ? 2 : 1,
      );
      for (const found of runs) check(products, found, data, expected);
      // To the bit.
      for (const found of runs) expect(found).toEqual(runs[0]);
    }
  });
});
