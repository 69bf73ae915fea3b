// Prepares a program's steps for the device: lays out uniforms, creates bind groups, counts workgroups, encodes
// commands.
import { bug } from "../../ground/base/invariant.js";
import type { Program, ProgramStep, RunPromise, StandInCase } from "../program/program.js";
import type { Buffers } from "./buffers.js";
import type { Device } from "../device/device.js";
import { LimitError } from "../device/errors.js";
import type { Allocator } from "./allocator.js";
import { BUFFER_USAGE } from "../device/gpu-flags.js";
import type { Pipelines } from "./pipelines.js";
import type { SizeIndex, SizeTable } from "./sizes.js";
import { type Chosen, StandIns } from "./stand-ins.js";
import { packsRows } from "../device/held-textures.js";
import { UniformLayout, type Word } from "./uniforms.js";

export type Step =
  | {
      readonly kind: "dispatch";
      readonly kernel: number;
      readonly slots: readonly number[];
      /** Offset of the step's words in the uniform buffer; −1 without uniforms. */ readonly offset: number;
      readonly words: number;
      readonly workgroups: SizeIndex;
      readonly standIn: { readonly steps: number; readonly workgroups: SizeIndex; readonly where: StandInCase } | null;
      /** As in `StandIns`. */
      readonly packs: boolean;
      /** Floating-point operations; null if unknown. */
      readonly flops: SizeIndex | null;
      readonly group: string;
    }
  | { readonly kind: "copy"; readonly from: number; readonly to: number; readonly bytes: SizeIndex }
  | { readonly kind: "clear"; readonly slot: number; readonly bytes: SizeIndex };

type Dispatch = Extract<Step, { kind: "dispatch" }>;

/** The queries that record the times before and after a step. */
export interface TimeStamps {
  readonly querySet: GPUQuerySet;
  readonly begin: number;
  readonly end: number;
}

export class Steps {
  readonly #device: Device;
  readonly #allocator: Allocator;
  readonly #program: Program;
  readonly #pipelines: Pipelines;
  readonly #steps: readonly Step[];
  /** The words of the uniform buffer, with their offsets. */
  readonly #words: readonly { readonly at: number; readonly word: Word }[];
  readonly #uniforms: GPUBuffer;
  readonly #uniformData: Uint32Array;
  readonly #groups = new Map<string, GPUBindGroup>();
  /** Workgroups of each dispatch, and bytes of each copy and clear, at the current sizes. */
  readonly #amounts: Float64Array;
  readonly #standIns: StandIns;
  /** The stand-ins at the current sizes. */
  #chosen: readonly Chosen[] = [];
  #layoutOf: readonly (readonly [number, number])[] = [];

  constructor(device: Device, allocator: Allocator, program: Program, sizes: SizeTable, pipelines: Pipelines) {
    this.#device = device;
    this.#allocator = allocator;
    this.#program = program;
    this.#pipelines = pipelines;
    const layout = new UniformLayout(device.info.limits.minUniformBufferOffsetAlignment, sizes);
    this.#steps = program.steps.map((step) => prepare(step, program, sizes, layout));
    this.#words = layout.words;
    this.#uniformData = new Uint32Array(layout.bytes / 4);
    this.#uniforms = allocator.create({
      label: "uniforms",
      size: layout.bytes,
      usage: BUFFER_USAGE.uniform | BUFFER_USAGE.copyDst,
    });
    this.#amounts = new Float64Array(this.#steps.length);
    this.#standIns = new StandIns(this.#steps, pipelines, device.spares);
  }

  /** Call after the steps were submitted once. Returns whether the next run needs a new choice of stand-ins. */
  ran(): boolean {
    return this.#standIns.ran(this.#chosen);
  }

  /**
   * Sets the sizes and promises of the next runs: writes uniforms, counts workgroups, chooses stand-ins. `spare`:
   * compilation of kernels that do not pay yet may be avoided. Throws LimitError if a dispatch is larger than the
   * device allows.
   */
  setSizes(values: Float64Array, promises: readonly RunPromise[] = [], spare = true): void {
    this.#steps.forEach((step, i) => {
      const amount = values[step.kind === "dispatch" ? step.workgroups : step.bytes]!;
      if (Number.isNaN(amount)) bug(`step ${i} has no whole size`);
      this.#amounts[i] = amount;
    });
    this.#chosen = this.#standIns.choose(values, this.#amounts, promises, spare);
    const limit = this.#device.info.limits.maxComputeWorkgroupsPerDimension;
    this.#layoutOf = this.#steps.map((step, i) =>
      step.kind === "dispatch"
        ? fold(this.#amounts[i]!, limit, () => this.#program.kernels[step.kernel]!.name)
        : [0, 0],
    );
    for (const { at, word } of this.#words)
      this.#uniformData[at] = "bits" in word ? word.bits : wordOf(values[word.size]!);
    // made above, unshared
    this.#device.gpu.queue.writeBuffer(this.#uniforms, 0, this.#uniformData as Uint32Array<ArrayBuffer>);
  }

  /** Creates the bind groups again after slots got new buffers. */
  bind(buffers: Buffers): void {
    this.#groups.clear();
    for (const step of this.#steps) {
      if (step.kind !== "dispatch" || this.#groups.has(step.group)) continue;
      const entries: GPUBindGroupEntry[] = step.slots.map((slot, i) => ({
        binding: i + 1,
        resource: buffers.binding(slot),
      }));
      if (step.offset >= 0)
        entries.push({
          binding: 0,
          resource: { buffer: this.#uniforms, offset: step.offset, size: Math.ceil(step.words / 4) * 16 },
        });
      this.#groups.set(
        step.group,
        this.#device.gpu.createBindGroup({ layout: this.#pipelines.layout(step.kernel), entries }),
      );
    }
  }

  /** Indices of the needed steps that do any work at the current sizes. */
  active(needed: Uint8Array): readonly number[] {
    return this.#steps.flatMap((_, i) => (needed[i] && this.#amounts[i]! > 0 ? [i] : []));
  }

  /** The steps that a run at these sizes would dispatch, with their kernels. */
  dispatchesAt(
    values: Float64Array,
    promises: readonly RunPromise[] = [],
  ): readonly { readonly step: number; readonly kernel: number }[] {
    const amounts = Float64Array.from(this.#steps, (step) => (step.kind === "dispatch" ? values[step.workgroups]! : 0));
    this.#standIns.choose(values, amounts, promises);
    return this.#steps.flatMap((step, i) =>
      step.kind === "dispatch" && amounts[i]! > 0 ? [{ step: i, kernel: step.kernel }] : [],
    );
  }

  /** Workgroups of a dispatch, or bytes of a copy or clear, at the current sizes. */
  amount(step: number): number {
    return this.#amounts[step]!;
  }

  /** The kernel that a step dispatches; null for a copy or clear. */
  kernel(step: number): number | null {
    const planned = this.#steps[step]!;
    return planned.kind === "dispatch" ? planned.kernel : null;
  }

  /** Encodes the needed steps in order, from `first` up to but excluding `end`. */
  encode(encoder: GPUCommandEncoder, buffers: Buffers, needed: Uint8Array, first = 0, end = this.#steps.length): void {
    let pass: GPUComputePassEncoder | null = null;
    let pipeline: GPUComputePipeline | null = null;
    for (let i = first; i < end; i++) {
      if (!needed[i] || this.#amounts[i] === 0) continue;
      const step = this.#steps[i]!;
      if (step.kind === "dispatch") {
        pass ??= encoder.beginComputePass();
        pipeline = this.#dispatch(pass, i, step, pipeline);
      } else {
        pass?.end();
        [pass, pipeline] = [null, null];
        this.#move(encoder, buffers, i, step);
      }
    }
    pass?.end();
  }

  /** Encodes one step alone, between two time stamps if `stamps` is set. */
  encodeOne(encoder: GPUCommandEncoder, buffers: Buffers, index: number, stamps: TimeStamps | null): void {
    const step = this.#steps[index]!;
    const { querySet, begin, end } = stamps ?? { querySet: null, begin: 0, end: 0 };
    if (step.kind === "dispatch") {
      const pass = encoder.beginComputePass(
        querySet ? { timestampWrites: { querySet, beginningOfPassWriteIndex: begin, endOfPassWriteIndex: end } } : {},
      );
      this.#dispatch(pass, index, step, null);
      pass.end();
      return;
    }
    // Only passes have time stamps, so empty passes are encoded before and after a copy.
    if (querySet) encoder.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex: begin } }).end();
    this.#move(encoder, buffers, index, step);
    if (querySet) encoder.beginComputePass({ timestampWrites: { querySet, endOfPassWriteIndex: end } }).end();
  }

  /** The bind group of a dispatch; null for a copy or clear. */
  bindings(index: number): GPUBindGroup | null {
    const step = this.#steps[index]!;
    return step.kind === "dispatch" ? this.#groups.get(step.group)! : null;
  }

  #dispatch(
    pass: GPUComputePassEncoder,
    index: number,
    step: Dispatch,
    current: GPUComputePipeline | null,
  ): GPUComputePipeline {
    const pipeline = this.#pipelines.pipeline(step.kernel);
    if (pipeline !== current) pass.setPipeline(pipeline);
    pass.setBindGroup(0, this.#groups.get(step.group));
    const [x, y] = this.#layoutOf[index]!;
    pass.dispatchWorkgroups(x, y);
    return pipeline;
  }
  #move(encoder: GPUCommandEncoder, buffers: Buffers, index: number, step: Exclude<Step, Dispatch>): void {
    const bytes = this.#amounts[index]!;
    switch (step.kind) {
      case "copy":
        encoder.copyBufferToBuffer(buffers.buffer(step.from), 0, buffers.buffer(step.to), 0, bytes);
        break;
      case "clear":
        encoder.clearBuffer(buffers.buffer(step.slot), 0, bytes);
        break;
      default:
        step satisfies never;
    }
  }

  destroy(): void {
    this.#allocator.destroy(this.#uniforms);
  }
}

function prepare(step: ProgramStep, program: Program, sizes: SizeTable, layout: UniformLayout): Step {
  switch (step.kind) {
    case "copy":
      return { kind: "copy", from: step.from, to: step.to, bytes: sizes.index(step.bytes) };
    case "clear":
      return { kind: "clear", slot: step.slot, bytes: sizes.index(step.bytes) };
    case "dispatch": {
      const kernel = program.kernels[step.kernel]!;
      if (step.uniforms.length !== kernel.uniforms || step.slots.length !== kernel.access.length)
        bug(`a step does not fit ${kernel.name}`);
      const offset = kernel.uniforms > 0 ? layout.offset(step.uniforms) : -1;
      const uniforms = offset < 0 ? 0 : Math.ceil(kernel.uniforms / 4);
      const group = `${kernel.access.join()} ${step.slots.join()} ${offset} ${uniforms}`;
      const standIn = step.standIn ? { ...step.standIn, workgroups: sizes.index(step.standIn.workgroups) } : null;
      const packs = packsRows(kernel);
      const workOfStep = step.work === null || packs ? null : program.works[step.work];
      const flops = workOfStep ? sizes.index(workOfStep.flops) : null;
      const [slots, words, workgroups] = [step.slots, kernel.uniforms, sizes.index(step.workgroups)];
      return { kind: "dispatch", kernel: step.kernel, slots, offset, words, workgroups, standIn, packs, flops, group };
    }
    default:
      return step satisfies never;
  }
}

function wordOf(value: number): number {
  if (!(value >= 0 && value <= 0xffffffff)) bug(`a size of a kernel is ${value}`);
  return value;
}

/** Splits `count` workgroups into x and y, both within the limit, with the fewest workgroups in excess. */
export function fold(count: number, limit: number, name: () => string): readonly [number, number] {
  const y = Math.ceil(count / limit);
  if (y > limit)
    throw new LimitError({
      label: `kernel ${name()}`,
      limit: "maxComputeWorkgroupsPerDimension",
      needed: count,
      allowed: limit * limit,
      unit: "count",
    });
  return y <= 1 ? [count, 1] : [Math.ceil(count / y), y];
}
