// The multiply-adds that the device can do in a second: kernels that touch nothing but registers.
import { openDevice, type Device } from "../src/runtime/index.js";

const ITERATIONS = 2048;
/** Of all workgroups together: enough that the wait is a small part. */
const INVOCATIONS = 32_768;

/**
 * How many sums are independent, in workgroups of so many: a device likes one or another. Scalars, for vectors fill its
 * registers sooner.
 */
const SHAPES = [12, 16, 24].flatMap((sums) => [8, 64].map((width) => ({ sums, width })));

/** Times a loop says the same, so that counting it costs little. */
const UNROLLED = 4;

const kernel = (sums: number, width: number): string => `
@group(0) @binding(0) var<storage, read_write> data: array<f32>;
@compute @workgroup_size(${width})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = data[0];
  let b = data[1];
${Array.from({ length: sums }, (_, i) => `  var s${i} = data[2] + f32(id.x + ${i}u);`).join("\n")}
  for (var i = 0u; i < ${ITERATIONS}u; i++) {
${Array.from({ length: sums * UNROLLED }, (_, i) => `    s${i % sums} = fma(s${i % sums}, a, b);`).join("\n")}
  }
  let sum = ${Array.from({ length: sums }, (_, i) => `s${i}`).join(" + ")};
  // Never true, which no compiler knows.
  if (sum == 12345.0) { data[3] = sum; }
}`;

/** Measures the peak several times, so that other measurements can run in between. */
export class PeakMeter {
  readonly device: Device;
  readonly #kernels: readonly Kernel[];
  #best = 0;

  private constructor(device: Device, kernels: readonly Kernel[]) {
    this.device = device;
    this.#kernels = kernels;
  }

  static async open(): Promise<PeakMeter> {
    const device = await openDevice();
    const kernels: Kernel[] = [];
    for (const { sums, width } of SHAPES) kernels.push(await prepare(device, sums, width));
    const meter = new PeakMeter(device, kernels);
    // The first dispatch compiles.
    await meter.measure();
    meter.#best = 0;
    return meter;
  }

  /** The best so far. */
  get best(): number {
    return this.#best;
  }

  /** GFLOP/s now, by the best of all shapes; a multiply-add is two operations. */
  async measure(): Promise<number> {
    let now = 0;
    for (const kernel of this.#kernels) now = Math.max(now, kernel.flops / (await time(this.device, kernel)) / 1e6);
    this.#best = Math.max(this.#best, now);
    return now;
  }

  close(): void {
    this.device.destroy();
  }
}

interface Kernel {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly workgroups: number;
  readonly flops: number;
}

async function prepare(device: Device, sums: number, width: number): Promise<Kernel> {
  const { gpu } = device;
  const data = gpu.createBuffer({ size: 64, usage: 0x80 | 0x8 }); // STORAGE | COPY_DST
  gpu.queue.writeBuffer(data, 0, Float32Array.of(0.999, 0.5, 0.5, 0));
  const module = gpu.createShaderModule({ code: kernel(sums, width) });
  const pipeline = await device.wait(() =>
    gpu.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } }),
  );
  const group = gpu.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer: data } }],
  });
  return { pipeline, group, workgroups: INVOCATIONS / width, flops: 2 * sums * UNROLLED * ITERATIONS * INVOCATIONS };
}

/** Milliseconds of a dispatch, including the wait for the result. */
async function time(device: Device, { pipeline, group, workgroups }: Kernel): Promise<number> {
  const { gpu } = device;
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(workgroups);
  pass.end();
  const before = performance.now();
  gpu.queue.submit([encoder.finish()]);
  await device.wait(() => gpu.queue.onSubmittedWorkDone());
  return performance.now() - before;
}
