// Measures the roofline of a device: multiply-adds in registers, and bytes read and copied, per second. No API reports
// these.
import type { Device } from "../device/device.js";
import { BUFFER_USAGE } from "../device/gpu-flags.js";
import { submitted } from "./clock.js";

export interface Roofline {
  /** f32 operations a second; a multiply-add counts as two. */
  readonly flops: number;
  /** Bytes a second that kernels read. */
  readonly readBytes: number;
  /** Bytes a second that a copying kernel reads and writes; both count. */
  readonly copyBytes: number;
}

/** The best measured rates of a device: arithmetic, reads and dispatches. */
export interface DeviceBest {
  /** f32 operations a second, a multiply-add counted as two. */
  readonly flops: number;
  /** Seconds of a dispatch that reads `bytes` bytes that the dispatch before also read; by increasing bytes. */
  readonly reads: readonly { readonly bytes: number; readonly seconds: number }[];
  /** Seconds of a dispatch that does next to nothing, after another dispatch. */
  readonly dispatchSeconds: number;
}

/** The least time of some work, in milliseconds, and whether arithmetic or memory limits it. */
export function timeAtBest(
  { flops, bytes }: { readonly flops: number; readonly bytes: number },
  roofline: Roofline,
): { readonly ms: number; readonly by: "arithmetic" | "memory" } {
  const [arithmetic, memory] = [flops / roofline.flops, bytes / Math.max(roofline.readBytes, roofline.copyBytes)];
  return arithmetic >= memory ? { ms: 1000 * arithmetic, by: "arithmetic" } : { ms: 1000 * memory, by: "memory" };
}

/** Measures by the host's clock; the best of several shapes and tries. Takes about a second on a software device. */
export const measureRoofline = (device: Device): Promise<Roofline> =>
  withBuffers(device, async (best, bytes) => ({
    flops: await best(ARITHMETIC),
    readBytes: await best(movements("read", bytes)),
    copyBytes: await best(movements("copy", bytes)),
  }));

/** Bytes that fit a second cache, a last one, and none. */
const READS = [1, 8, 64].map((mebibytes) => mebibytes * 1024 * 1024);

/** Measures as `measureRoofline` does, and takes as long. */
export const measureBest = (device: Device): Promise<DeviceBest> =>
  withBuffers(device, async (best, most) => {
    const reads: { readonly bytes: number; readonly seconds: number }[] = [];
    for (const bytes of new Set(READS.map((n) => Math.min(n, most))))
      reads.push({ bytes, seconds: bytes / (await best(movements("read", bytes))) });
    return { flops: await best(ARITHMETIC), reads, dispatchSeconds: 1 / (await best([NEXT_TO_NOTHING])) };
  });

/** The most of an amount per second over some shapes. */
type Best = (shapes: readonly Shape[]) => Promise<number>;

async function withBuffers<R>(device: Device, measure: (best: Best, bytes: number) => Promise<R>): Promise<R> {
  const { limits } = device.info;
  const bytes = Math.min(64 * 1024 * 1024, limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  const buffers = [0, 1].map((i) =>
    device.gpu.createBuffer({ label: `roofline ${i}`, size: bytes, usage: BUFFER_USAGE.storage }),
  );
  const best: Best = async (shapes) => {
    let most = 0;
    for (const shape of shapes) most = Math.max(most, await rateOf(device, shape, buffers));
    return most;
  };
  try {
    return await measure(best, bytes);
  } finally {
    for (const buffer of buffers) buffer.destroy();
  }
}

interface Shape {
  readonly wgsl: string;
  readonly workgroups: number;
  /** Operations or bytes of all workgroups together. */
  readonly amount: number;
}

const ROUNDS = 128;
/** How often the loop body is repeated, so that loop overhead is small. */
const UNROLLED = 4;
const INVOCATIONS = 16_384;

/**
 * Kernels with independent scalar sums. Devices differ in the number of sums and the workgroup size that saturate them.
 */
const ARITHMETIC: readonly Shape[] = [
  { sums: 12, width: 8 },
  { sums: 16, width: 64 },
  { sums: 24, width: 64 },
].map(({ sums, width }) => ({
  wgsl: `@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> b: array<vec4f>;
@compute @workgroup_size(${width})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let x = 0.999 + a[0].x;
  let y = 0.5 + a[0].y;
${Array.from({ length: sums }, (_, i) => `  var s${i} = f32(id.x + ${i}u);`).join("\n")}
  for (var i = 0u; i < ${ROUNDS}u; i++) {
${Array.from({ length: sums * UNROLLED }, (_, i) => `    s${i % sums} = fma(s${i % sums}, x, y);`).join("\n")}
  }
  // Never true, which no compiler knows.
  if (${Array.from({ length: sums }, (_, i) => `s${i}`).join(" + ")} == 12345.0) { b[0].x = 1.0; }
}`,
  workgroups: INVOCATIONS / width,
  amount: 2 * sums * UNROLLED * ROUNDS * INVOCATIONS,
}));

/** A dispatch of one invocation. It waits for the dispatch before, whose result it reads. */
const NEXT_TO_NOTHING: Shape = {
  wgsl: `@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> b: array<vec4f>;
@compute @workgroup_size(1)
fn main() { b[0] += a[0]; }`,
  workgroups: 1,
  amount: 1,
};

/** Number of vec4 values that an invocation moves. */
const EACH = 16;

function movements(kind: "read" | "copy", bytes: number): readonly Shape[] {
  return [8, 64, 256].map((width) => {
    const workgroups = Math.floor(bytes / (16 * EACH * width));
    const used = workgroups * 16 * EACH * width;
    const body =
      kind === "copy"
        ? `for (var i = 0u; i < ${EACH}u; i++) { b[at + i * ${width}u] = a[at + i * ${width}u]; }`
        : `var sum = vec4f();
  for (var i = 0u; i < ${EACH}u; i++) { sum += a[at + i * ${width}u]; }
  // Never true, which no compiler knows.
  if (sum.x + sum.y + sum.z + sum.w == 12345.0) { b[0].x = 1.0; }`;
    return {
      wgsl: `@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> b: array<vec4f>;
@compute @workgroup_size(${width})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let number = group.x + group.y * groups.x;
  if (number >= ${workgroups}u) { return; }
  let at = number * ${EACH * width}u + lane;
  ${body}
}`,
      workgroups,
      amount: kind === "copy" ? 2 * used : used,
    };
  });
}

/** A shorter dispatch is repeated within a submit, so that the wait does not count. */
const LEAST_MS = 8;
const TRIES = 3;

/** Amount per second. */
async function rateOf(
  device: Device,
  { wgsl, workgroups, amount }: Shape,
  buffers: readonly GPUBuffer[],
): Promise<number> {
  const { gpu } = device;
  const module = gpu.createShaderModule({ code: wgsl });
  const pipeline = await device.wait(() =>
    gpu.createComputePipelineAsync({ layout: "auto", compute: { module, entryPoint: "main" } }),
  );
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const group = gpu.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const limit = device.info.limits.maxComputeWorkgroupsPerDimension;
  const y = Math.ceil(workgroups / limit);
  const time = (times: number): Promise<number> =>
    submitted(device, (encoder) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < times; i++) pass.dispatchWorkgroups(Math.ceil(workgroups / y), y);
      pass.end();
    });
  // The first dispatch compiles.
  await time(1);
  const once = await time(1);
  const times = Math.max(1, Math.min(1000, Math.ceil(LEAST_MS / Math.max(0.01, once))));
  let best = Infinity;
  for (let i = 0; i < TRIES; i++) best = Math.min(best, (await time(times)) / times);
  return (1000 * amount) / best;
}
