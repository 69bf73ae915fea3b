// Compute pipelines: each distinct kernel of a device's sessions is compiled once, asynchronously, when a run first
// needs it.
import { bug } from "../../ground/base/invariant.js";
import type { Program, ProgramKernel } from "../program/program.js";
import type { Device } from "../device/device.js";
import { DeviceLostError, KernelError, LimitError } from "../device/errors.js";
import { STAGE_COMPUTE } from "../device/gpu-flags.js";
import { textureEntry } from "../device/held-textures.js";

interface Layout {
  readonly layout: GPUBindGroupLayout;
  readonly pipelineLayout: GPUPipelineLayout;
}

/** A kernel on the device. */
interface CompiledKernel {
  pipeline: GPUComputePipeline | null;
  /** Resolves when `pipeline` is set. */
  readonly ready: Promise<void>;
  /** Whether the kernel was dispatched. A software device compiles it only then. */
  dispatched: boolean;
}

/**
 * How many of the most recently used kernels and layouts a device keeps after their sessions are gone. Dawn makes room
 * for a hundred bind groups or more with each layout; on a software device each of them is a mapping of the process,
 * which may have 65,530.
 */
const KEPT_KERNELS = 256;
const KEPT_LAYOUTS = 64;

/** A map that keeps the most recently used entries. */
class Recent<V> {
  readonly #entries = new Map<string, V>();
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }
  get(key: string): V | undefined {
    const value = this.#entries.get(key);
    if (value !== undefined) this.set(key, value);
    return value;
  }
  set(key: string, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size > this.#limit) this.#entries.delete(this.#entries.keys().next().value!);
  }
  /** Removes the entry if it has this value. */
  delete(key: string, value: V): void {
    if (this.#entries.get(key) === value) this.#entries.delete(key);
  }
}

/**
 * What sessions of one GPUDevice share, however often it was opened: layouts by binding types, kernels by text.
 * Sessions hold their own.
 */
class Pool {
  readonly layouts = new Recent<Layout>(KEPT_LAYOUTS);
  readonly kernels = new Recent<CompiledKernel>(KEPT_KERNELS);
}

const pools = new WeakMap<GPUDevice, Pool>();
function poolOf({ gpu }: Device): Pool {
  let pool = pools.get(gpu);
  if (!pool) pools.set(gpu, (pool = new Pool()));
  return pool;
}

export class Pipelines {
  readonly #device: Device;
  readonly #pool: Pool;
  readonly #kernels: readonly ProgramKernel[];
  readonly #keys: readonly string[];
  readonly #layouts: readonly Layout[];
  /** Kernels of this program that were compiled, by key. */
  readonly #used = new Map<string, CompiledKernel>();

  /** Throws LimitError if a kernel binds more than the device allows. */
  constructor(device: Device, program: Pick<Program, "kernels">) {
    for (const kernel of program.kernels) checkBindings(device, kernel);
    this.#device = device;
    this.#pool = poolOf(device);
    this.#kernels = program.kernels;
    const shapes = program.kernels.map((kernel) => `${kernel.uniforms > 0} ${kernel.access.join()}`);
    this.#keys = program.kernels.map((kernel, i) => `${shapes[i]!} ${kernel.wgsl}`);
    this.#layouts = program.kernels.map((kernel, i) => this.#layoutFor(kernel, shapes[i]!));
  }

  #layoutFor(kernel: ProgramKernel, shape: string): Layout {
    const { layouts } = this.#pool;
    let layout = layouts.get(shape);
    if (!layout) layouts.set(shape, (layout = makeLayout(this.#device.gpu, kernel, shape)));
    return layout;
  }

  /** The layout of a kernel's bindings. */
  layout(kernel: number): GPUBindGroupLayout {
    return this.#layouts[kernel]!.layout;
  }

  /** The pipeline of a compiled kernel. */
  pipeline(kernel: number): GPUComputePipeline {
    const pipeline = this.#used.get(this.#keys[kernel]!)?.pipeline;
    if (!pipeline) bug(`kernel ${this.#kernels[kernel]!.name} is not compiled yet`);
    return pipeline;
  }
  #compiled(key: string): CompiledKernel | undefined {
    const used = this.#used.get(key);
    if (used) return used;
    const pooled = this.#pool.kernels.get(key);
    if (pooled) this.#used.set(key, pooled);
    return pooled;
  }

  /** The kernels among these that are not compiled yet, each text once. */
  missing(kernels: Iterable<number>): readonly number[] {
    return this.#each(kernels, (compiled) => !compiled?.pipeline);
  }
  /** The kernels among these that no run has dispatched, each text once. */
  fresh(kernels: Iterable<number>): readonly number[] {
    return this.#each(kernels, (compiled) => !compiled?.dispatched);
  }
  #each(kernels: Iterable<number>, matches: (compiled: CompiledKernel | undefined) => boolean): readonly number[] {
    const found = new Map<string, number>();
    for (const kernel of kernels) {
      const key = this.#keys[kernel]!;
      if (!found.has(key) && matches(this.#compiled(key))) found.set(key, kernel);
    }
    return [...found.values()];
  }

  dispatched(kernel: number): void {
    const compiled = this.#compiled(this.#keys[kernel]!);
    if (compiled) compiled.dispatched = true;
  }

  /**
   * Compiles the kernels that are not compiled yet, in parallel, and waits for kernels already being compiled. `done`
   * is called for each kernel waited for. Throws KernelError if the device refuses one; the next call tries that kernel
   * again.
   */
  async compile(kernels: Iterable<number>, done: () => void = () => {}): Promise<void> {
    const compilations = this.missing(kernels).map(async (kernel) => {
      await this.#begin(kernel);
      done();
    });
    const results = await Promise.allSettled(compilations);
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }
  async #begin(kernel: number): Promise<void> {
    const key = this.#keys[kernel]!;
    const compiled = this.#compiled(key) ?? this.#start(kernel, key);
    try {
      await compiled.ready;
    } catch (error) {
      this.#pool.kernels.delete(key, compiled);
      this.#used.delete(key);
      // The first requester has destroyed the Device object that it opened; this one is alive, so the kernel is
      // compiled again.
      if (error instanceof DeviceLostError && this.#device.lostError === null) return this.#begin(kernel);
      throw error;
    }
  }
  #start(kernel: number, key: string): CompiledKernel {
    const compile = async (): Promise<void> => {
      compiled.pipeline = await compileOne(this.#device, this.#kernels[kernel]!, this.#layouts[kernel]!);
    };
    const compiled: CompiledKernel = { pipeline: null, ready: Promise.resolve().then(compile), dispatched: false };
    this.#pool.kernels.set(key, compiled);
    this.#used.set(key, compiled);
    return compiled;
  }
}

function checkBindings(device: Device, kernel: ProgramKernel): void {
  const { limits } = device.info;
  const over = (limit: "maxStorageBuffersPerShaderStage" | "maxBindingsPerBindGroup", needed: number): void => {
    if (needed > limits[limit])
      throw new LimitError({ label: `kernel ${kernel.name}`, limit, needed, allowed: limits[limit], unit: "count" });
  };
  over("maxStorageBuffersPerShaderStage", kernel.access.filter((a) => !textureEntry(a)).length);
  over("maxBindingsPerBindGroup", kernel.access.length + 1);
}

function makeLayout(gpu: GPUDevice, kernel: ProgramKernel, label: string): Layout {
  const entries: GPUBindGroupLayoutEntry[] = kernel.access.map((access, i) => ({
    binding: i + 1,
    visibility: STAGE_COMPUTE,
    ...(textureEntry(access) ?? { buffer: { type: access === "read" ? "read-only-storage" : "storage" } }),
  }));
  if (kernel.uniforms > 0) entries.push({ binding: 0, visibility: STAGE_COMPUTE, buffer: { type: "uniform" } });
  const layout = gpu.createBindGroupLayout({ label, entries });
  return { layout, pipelineLayout: gpu.createPipelineLayout({ label, bindGroupLayouts: [layout] }) };
}

async function compileOne(
  device: Device,
  kernel: ProgramKernel,
  { pipelineLayout }: Layout,
): Promise<GPUComputePipeline> {
  const { gpu } = device;
  // A faulty module fails when the pipeline is created. The module's own error must not become an uncaptured error of
  // the device.
  gpu.pushErrorScope("validation");
  const module = gpu.createShaderModule({ label: kernel.name, code: kernel.wgsl });
  const moduleError = device.wait(() => gpu.popErrorScope());
  const made = device.wait(() =>
    gpu.createComputePipelineAsync({
      label: kernel.name,
      layout: pipelineLayout,
      compute: { module, entryPoint: "main" },
    }),
  );
  const [error, pipeline] = await Promise.allSettled([moduleError, made]);
  if (error.status === "fulfilled" && error.value)
    throw new KernelError(`the device refuses kernel ${kernel.name}: ${firstLines(error.value.message)}`);
  if (pipeline.status === "fulfilled") return pipeline.value;
  if (pipeline.reason instanceof DeviceLostError) throw pipeline.reason;
  throw new KernelError(
    `the device cannot compile kernel ${kernel.name}: ${firstLines(messageOf(pipeline.reason))}`,
    pipeline.reason,
  );
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const firstLines = (text: string): string => text.split("\n").slice(0, 6).join("\n");
