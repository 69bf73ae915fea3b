// Pipelines of a program: compiled asynchronously, one for each distinct kernel, with explicit layouts shared between kernels that bind alike.
import type { Program, ProgramKernel } from "../program/program.js";
import type { Device } from "./device.js";
import { DeviceLostError, KernelError, LimitError } from "./errors.js";
import { STAGE_COMPUTE } from "./gpu-flags.js";

/** A compiled kernel and the layout of its bindings. */
export interface Pipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** The pipeline of each kernel, by its number; throws KernelError where the device refuses one, LimitError where it binds too much. */
export async function compilePipelines(
  device: Device,
  program: Pick<Program, "kernels">,
  progress: (done: number, total: number) => void,
): Promise<readonly Pipeline[]> {
  const layouts = new Map<string, { readonly layout: GPUBindGroupLayout; readonly pipelineLayout: GPUPipelineLayout }>();
  const compiled = new Map<string, Promise<Pipeline>>();
  let done = 0;
  for (const kernel of program.kernels) checkBindings(device, kernel);
  const all = program.kernels.map((kernel) => {
    const shape = `${kernel.uniforms > 0} ${kernel.access.join()}`;
    const key = `${shape} ${kernel.wgsl}`;
    let made = compiled.get(key);
    if (!made) {
      let layout = layouts.get(shape);
      if (!layout) layouts.set(shape, (layout = makeLayout(device.gpu, kernel, shape)));
      made = compileOne(device, kernel, layout).then((pipeline) => {
        progress(++done, compiled.size);
        return pipeline;
      });
      compiled.set(key, made);
    }
    return made;
  });
  const results = await Promise.allSettled(all);
  for (const result of results) if (result.status === "rejected") throw result.reason;
  return results.map((r) => (r as PromiseFulfilledResult<Pipeline>).value); // none was rejected
}

function checkBindings(device: Device, kernel: ProgramKernel): void {
  const { limits } = device.info;
  const over = (limit: "maxStorageBuffersPerShaderStage" | "maxBindingsPerBindGroup", needed: number): void => {
    if (needed > limits[limit]) throw new LimitError({ label: `kernel ${kernel.name}`, limit, needed, allowed: limits[limit], unit: "count" });
  };
  over("maxStorageBuffersPerShaderStage", kernel.access.length);
  over("maxBindingsPerBindGroup", kernel.access.length + 1);
}

function makeLayout(gpu: GPUDevice, kernel: ProgramKernel, label: string): { readonly layout: GPUBindGroupLayout; readonly pipelineLayout: GPUPipelineLayout } {
  const entries: GPUBindGroupLayoutEntry[] = kernel.access.map((access, i) => ({
    binding: i + 1,
    visibility: STAGE_COMPUTE,
    buffer: { type: access === "read" ? "read-only-storage" : "storage" },
  }));
  if (kernel.uniforms > 0) entries.push({ binding: 0, visibility: STAGE_COMPUTE, buffer: { type: "uniform" } });
  const layout = gpu.createBindGroupLayout({ label, entries });
  return { layout, pipelineLayout: gpu.createPipelineLayout({ label, bindGroupLayouts: [layout] }) };
}

async function compileOne(
  device: Device,
  kernel: ProgramKernel,
  { layout, pipelineLayout }: { readonly layout: GPUBindGroupLayout; readonly pipelineLayout: GPUPipelineLayout },
): Promise<Pipeline> {
  const { gpu } = device;
  // A faulty module is reported by the pipeline; its own error must not reach the device uncaught.
  gpu.pushErrorScope("validation");
  const module = gpu.createShaderModule({ label: kernel.name, code: kernel.wgsl });
  const moduleError = device.wait(() => gpu.popErrorScope());
  const made = device.wait(() => gpu.createComputePipelineAsync({ label: kernel.name, layout: pipelineLayout, compute: { module, entryPoint: "main" } }));
  const [error, pipeline] = await Promise.allSettled([moduleError, made]);
  if (error.status === "fulfilled" && error.value) throw new KernelError(`the device refuses kernel ${kernel.name}: ${firstLines(error.value.message)}`);
  if (pipeline.status === "fulfilled") return { pipeline: pipeline.value, layout };
  if (pipeline.reason instanceof DeviceLostError) throw pipeline.reason;
  throw new KernelError(`the device cannot compile kernel ${kernel.name}: ${firstLines(messageOf(pipeline.reason))}`, pipeline.reason);
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const firstLines = (text: string): string => text.split("\n").slice(0, 6).join("\n");
