// Pipelines of programs: each distinct kernel is compiled once, asynchronously, when a run first needs it, for all sessions that share weights or states.
import type { Program, ProgramKernel } from "../program/program.js";
import type { Device } from "./device.js";
import { DeviceLostError, KernelError, LimitError } from "./errors.js";
import { STAGE_COMPUTE } from "./gpu-flags.js";

interface Layout {
  readonly layout: GPUBindGroupLayout;
  readonly pipelineLayout: GPUPipelineLayout;
}

/** A kernel on the device. */
interface Made {
  pipeline: GPUComputePipeline | null;
  readonly coming: Promise<void>;
  /** Whether it was dispatched: a software device compiles it then, whatever it said before. */
  dispatched: boolean;
}

/** What the sessions of one device share: layouts by what is bound, kernels by their text. */
interface Shared {
  readonly device: Device;
  readonly layouts: Map<string, Layout>;
  readonly made: Map<string, Made>;
}

export class Pipelines {
  readonly #shared: Shared;
  readonly #kernels: readonly ProgramKernel[];
  readonly #keys: readonly string[];
  readonly #layouts: readonly Layout[];

  /** `like`: those of sessions whose weights or states are shared. Throws LimitError where a kernel binds more than the device allows. */
  constructor(device: Device, program: Pick<Program, "kernels">, like: readonly Pipelines[] = []) {
    for (const kernel of program.kernels) checkBindings(device, kernel);
    this.#shared = like.map((p) => p.#shared).find((s) => s.device === device) ?? { device, layouts: new Map(), made: new Map() };
    this.#kernels = program.kernels;
    const shapes = program.kernels.map((kernel) => `${kernel.uniforms > 0} ${kernel.access.join()}`);
    this.#keys = program.kernels.map((kernel, i) => `${shapes[i]!} ${kernel.wgsl}`);
    this.#layouts = program.kernels.map((kernel, i) => this.#layoutFor(kernel, shapes[i]!));
  }

  #layoutFor(kernel: ProgramKernel, shape: string): Layout {
    const { layouts, device } = this.#shared;
    let layout = layouts.get(shape);
    if (!layout) layouts.set(shape, (layout = makeLayout(device.gpu, kernel, shape)));
    return layout;
  }

  /** The layout of a kernel's bindings. */
  layout(kernel: number): GPUBindGroupLayout {
    return this.#layouts[kernel]!.layout;
  }

  /** The pipeline of a kernel that was compiled. */
  pipeline(kernel: number): GPUComputePipeline {
    const pipeline = this.#made(kernel)?.pipeline;
    if (!pipeline) throw new Error(`modc bug: kernel ${this.#kernels[kernel]!.name} is dispatched before it is compiled`);
    return pipeline;
  }
  #made(kernel: number): Made | undefined {
    return this.#shared.made.get(this.#keys[kernel]!);
  }

  /** Of these kernels those that are not compiled yet, each text once. */
  missing(kernels: Iterable<number>): readonly number[] {
    return this.#each(kernels, (made) => !made?.pipeline);
  }
  /** Of these kernels those that no run has dispatched, each text once. */
  fresh(kernels: Iterable<number>): readonly number[] {
    return this.#each(kernels, (made) => !made?.dispatched);
  }
  #each(kernels: Iterable<number>, wanted: (made: Made | undefined) => boolean): readonly number[] {
    const found = new Map<string, number>();
    for (const kernel of kernels) {
      const key = this.#keys[kernel]!;
      if (!found.has(key) && wanted(this.#shared.made.get(key))) found.set(key, kernel);
    }
    return [...found.values()];
  }

  dispatched(kernel: number): void {
    const made = this.#made(kernel);
    if (made) made.dispatched = true;
  }

  /**
   * Compiles these kernels, all at once, where they are not compiled yet or under way. `done` is told of each that it waited for. Throws KernelError where the device refuses one,
   * which is tried again when it is next asked for.
   */
  async compile(kernels: Iterable<number>, done: () => void = () => {}): Promise<void> {
    const wanted = this.missing(kernels).map(async (kernel) => {
      await this.#begin(kernel);
      done();
    });
    const results = await Promise.allSettled(wanted);
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }
  #begin(kernel: number): Promise<void> {
    const { made } = this.#shared;
    const key = this.#keys[kernel]!;
    const known = made.get(key);
    if (known) return known.coming;
    const coming = this.#make(kernel, key);
    made.set(key, { pipeline: null, coming, dispatched: false });
    return coming;
  }
  async #make(kernel: number, key: string): Promise<void> {
    const { made, device } = this.#shared;
    try {
      const pipeline = await compileOne(device, this.#kernels[kernel]!, this.#layouts[kernel]!);
      made.get(key)!.pipeline = pipeline; // there since this began
    } catch (error) {
      made.delete(key);
      throw error;
    }
  }
}

function checkBindings(device: Device, kernel: ProgramKernel): void {
  const { limits } = device.info;
  const over = (limit: "maxStorageBuffersPerShaderStage" | "maxBindingsPerBindGroup", needed: number): void => {
    if (needed > limits[limit]) throw new LimitError({ label: `kernel ${kernel.name}`, limit, needed, allowed: limits[limit], unit: "count" });
  };
  over("maxStorageBuffersPerShaderStage", kernel.access.length);
  over("maxBindingsPerBindGroup", kernel.access.length + 1);
}

function makeLayout(gpu: GPUDevice, kernel: ProgramKernel, label: string): Layout {
  const entries: GPUBindGroupLayoutEntry[] = kernel.access.map((access, i) => ({
    binding: i + 1,
    visibility: STAGE_COMPUTE,
    buffer: { type: access === "read" ? "read-only-storage" : "storage" },
  }));
  if (kernel.uniforms > 0) entries.push({ binding: 0, visibility: STAGE_COMPUTE, buffer: { type: "uniform" } });
  const layout = gpu.createBindGroupLayout({ label, entries });
  return { layout, pipelineLayout: gpu.createPipelineLayout({ label, bindGroupLayouts: [layout] }) };
}

async function compileOne(device: Device, kernel: ProgramKernel, { pipelineLayout }: Layout): Promise<GPUComputePipeline> {
  const { gpu } = device;
  // A faulty module is reported by the pipeline; its own error must not reach the device uncaught.
  gpu.pushErrorScope("validation");
  const module = gpu.createShaderModule({ label: kernel.name, code: kernel.wgsl });
  const moduleError = device.wait(() => gpu.popErrorScope());
  const made = device.wait(() => gpu.createComputePipelineAsync({ label: kernel.name, layout: pipelineLayout, compute: { module, entryPoint: "main" } }));
  const [error, pipeline] = await Promise.allSettled([moduleError, made]);
  if (error.status === "fulfilled" && error.value) throw new KernelError(`the device refuses kernel ${kernel.name}: ${firstLines(error.value.message)}`);
  if (pipeline.status === "fulfilled") return pipeline.value;
  if (pipeline.reason instanceof DeviceLostError) throw pipeline.reason;
  throw new KernelError(`the device cannot compile kernel ${kernel.name}: ${firstLines(messageOf(pipeline.reason))}`, pipeline.reason);
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const firstLines = (text: string): string => text.split("\n").slice(0, 6).join("\n");
