// Waiting on a software device: it sleeps between polls, and nobody else's timers notice.
import { performance } from "node:perf_hooks";
import { describe, expect, it } from "vitest";
import { settle } from "../../../src/runtime/device/wait.js";
import { testDevice } from "../../device.js";

const original = globalThis.setImmediate;

/** Starts some 100 ms of work on one thread of the device. */
async function startWork(): Promise<GPUDevice> {
  const { gpu } = await testDevice();
  const code = `
    @group(0) @binding(0) var<storage, read_write> y: array<f32>;
    @compute @workgroup_size(1) fn main() { var s = y[0]; for (var i = 0u; i < 30000000u; i++) { s = fma(s, 0.999, f32(i & 7u)); } y[0] = s; }`;
  const pipeline = await gpu.createComputePipelineAsync({
    layout: "auto",
    compute: { module: gpu.createShaderModule({ code }), entryPoint: "main" },
  });
  const buffer = gpu.createBuffer({ size: 16, usage: 0x80 });
  const group = gpu.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer } }],
  });
  const encoder = gpu.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, group);
  pass.dispatchWorkgroups(1);
  pass.end();
  gpu.queue.submit([encoder.finish()]);
  return gpu;
}

describe("waiting on a software device", () => {
  it("leaves the thread idle while the device works", async () => {
    const gpu = await startWork();
    const before = performance.eventLoopUtilization();
    await settle("backoff", () => gpu.queue.onSubmittedWorkDone());
    const { utilization, active, idle } = performance.eventLoopUtilization(before);
    // Where the device is too quick for the work to be felt, there is nothing to measure. A spinning wait is busy
    // throughout: 1.
    if (active + idle > 40) expect(utilization).toBeLessThan(0.6);
  });

  it("lets the program's own setImmediate alone, and its callbacks run meanwhile", async () => {
    const gpu = await startWork();
    const seen: unknown[] = [];
    let turns = 0;
    let done = false;
    const turn = (): void => {
      seen.push(globalThis.setImmediate);
      turns++;
      if (!done) setTimeout(turn, 1);
    };
    turn();
    await settle("backoff", () => gpu.queue.onSubmittedWorkDone());
    done = true;
    expect(turns).toBeGreaterThan(1);
    expect(seen.every((f) => f === original)).toBe(true);
    expect(globalThis.setImmediate).toBe(original);
  });

  it("serves several waits at once, and one begun while another sleeps", async () => {
    const gpu = await startWork();
    const first = settle("backoff", () => gpu.queue.onSubmittedWorkDone());
    await new Promise((resolve) => setTimeout(resolve, 5));
    gpu.pushErrorScope("validation");
    gpu.createBuffer({ size: 4, usage: 0 });
    const second = settle("backoff", () => gpu.popErrorScope());
    expect((await second)?.message).toMatch(/usage/i);
    await first;
    // And a wait of the platform's own kind, begun while none of ours runs.
    await gpu.queue.onSubmittedWorkDone();
  });
});
