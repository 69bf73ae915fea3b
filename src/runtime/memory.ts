// The memory of a session, known before there is one: bytes of every buffer at any batch and length, from the sizes of
// a program's slots.
import { bug } from "../base/invariant.js";
import type { Program } from "../program/program.js";
import { type Axis, resolveSizes, type RunSizes } from "../size/axes.js";
import { bufferBytes } from "./buffers.js";
import { formatBytes, type LimitError } from "./errors.js";
import { checkLive, checkMax, type LiveValue } from "./extents.js";
import { roomOn, type RoomLimits } from "./room.js";
import { placeOutputs, selectOutputs } from "./outputs.js";
import { inputAxes, parseAxes, SizeTable } from "./sizes.js";
import { stagingBytes } from "./staging.js";
import { readingBytes } from "./states.js";
import { uniformBytes } from "./uniforms.js";

/** Bytes on the device, by what they are for. A slot that serves two is counted under the first. */
export interface MemoryUse {
  readonly weights: number;
  readonly states: number;
  readonly inputs: number;
  readonly results: number;
  /** What the host computes from sizes: starts, positions, rotary angles. */
  readonly tables: number;
  /** Everything between inputs and results: the peak, for slots are reused within a run. */
  readonly activations: number;
  /** Sizes and constants of the kernels. */
  readonly uniforms: number;
  /** Where results are read back through. */
  readonly staging: number;
  /** All that a session has as long as it lives. */
  readonly total: number;
  /** Where states are read back through: only while that is done, and so no part of `total`. */
  readonly reading: number;
}

export interface MemoryOptions {
  /** Extents of axes, as `LoadOptions.max`. */
  readonly max?: Readonly<Record<string, number>>;
  readonly live?: Readonly<Record<string, LiveValue>>;
  /** `minUniformBufferOffsetAlignment` of the device. Default 256, WebGPU's own. */
  readonly uniformAlignment?: number;
  /** As `LoadOptions.inFlight`. */
  readonly inFlight?: number;
}

/**
 * What a session of the program will allocate at these extents: exactly, as `session.memory.bytes` tells after `load`.
 * By default an axis has its bound, and 1 where it has none. Throws InputError for an extent or a live parameter that
 * does not fit.
 */
export function memoryOf(program: Program, options: MemoryOptions = {}): MemoryUse {
  const axes = parseAxes(program);
  const given = checkMax(axes, options.max);
  const extents = new Map(inputAxes(axes).map((a) => [a.name, given.get(a.name) ?? a.bound ?? 1]));
  const run: RunSizes = { extents, lengths: new Map(), live: checkLive(program, options.live, null) };
  return summarise(
    program,
    memoryAt(program, axes, run),
    uniformBytes(program, options.uniformAlignment ?? 256),
    options.inFlight ?? 1,
  );
}

/** The sizes of a session's buffers for one run: of each slot, and of the one results are read through. */
export interface BufferSizes {
  readonly slots: readonly number[];
  readonly staging: number;
}

export function memoryAt(program: Program, axes: readonly Axis[], run: RunSizes): BufferSizes {
  const table = new SizeTable();
  const slots = program.slots.map((s) => table.index(s.bytes));
  for (const output of program.outputs) for (const size of output.shape) table.index(size);
  const sizes = resolveSizes(axes, run);
  const values = table.values(sizes);
  const { bytes } = placeOutputs(selectOutputs(program, { observe: true }), table, values, sizes);
  return { slots: slots.map((index) => bufferBytes(values[index]!)), staging: stagingBytes(bytes) };
}

/** The first slot of a run of these sizes that has no room on such a device, as an error; null where all have. */
export const roomFor = (program: Program, limits: RoomLimits, run: RunSizes): LimitError | null =>
  roomOn(program, limits)(memoryAt(program, parseAxes(program), run).slots);

type Part = Exclude<keyof MemoryUse, "uniforms" | "staging" | "total" | "reading">;

function summarise(program: Program, { slots, staging }: BufferSizes, uniforms: number, inFlight: number): MemoryUse {
  const parts = partsOf(program);
  const sums: Record<Part, number> = { weights: 0, states: 0, inputs: 0, results: 0, tables: 0, activations: 0 };
  slots.forEach((bytes, slot) => (sums[parts[slot]!] += bytes));
  const total = slots.reduce((n, b) => n + b, 0) + uniforms + inFlight * staging;
  return { ...sums, uniforms, staging: inFlight * staging, total, reading: readingBytes(program.states) };
}

/** What each slot is for. */
function partsOf(program: Program): readonly Part[] {
  const parts = program.slots.map((): Part => "activations");
  // The last to claim a slot has it.
  for (const { slot } of program.tables) parts[slot] = "tables";
  for (const output of program.outputs)
    for (const { slot } of [output, ...output.parts, ...output.starts]) parts[slot] = "results";
  for (const { slot } of program.inputs) if (slot !== null) parts[slot] = "inputs";
  for (const { slot } of program.states) parts[slot] = "states";
  for (const { slots } of program.weights) for (const { slot } of slots) parts[slot] = "weights";
  return parts;
}

/** Holds what a session allocates against what its program says it takes, over all runs so far. */
export class Prediction {
  readonly #program: Program;
  readonly #axes: readonly Axis[];
  readonly #uniforms: number;
  /** Slots that another session has made. */
  readonly #shared: ReadonlySet<number>;
  /** Buffers that results are read back through. */
  readonly #inFlight: number;
  #slots: readonly number[] = [];
  #staging = 0;

  constructor(
    program: Program,
    axes: readonly Axis[],
    uniformAlignment: number,
    { shared, inFlight }: { readonly shared: ReadonlySet<number>; readonly inFlight: number },
  ) {
    this.#program = program;
    this.#axes = axes;
    this.#uniforms = uniformBytes(program, uniformAlignment);
    this.#shared = shared;
    this.#inFlight = inFlight;
  }

  /** Throws where the buffers in use are not as large as a run of these sizes, and those before it, need. */
  expect(run: RunSizes, bytes: number): void {
    const { slots, staging } = memoryAt(this.#program, this.#axes, run);
    this.#slots = slots.map((b, slot) => Math.max(b, this.#slots[slot] ?? 0));
    this.#staging = Math.max(this.#staging, staging);
    const predicted = this.#slots.reduce(
      (n, b, slot) => (this.#shared.has(slot) ? n : n + b),
      this.#uniforms + this.#inFlight * this.#staging,
    );
    if (bytes !== predicted) bug(`the buffers take ${bytes} bytes, the program says ${predicted}`);
  }
}

/** What a session says when its buffers grow for a run. */
export function growthMessage(model: string, { extents }: RunSizes, bytes: number): string {
  const [at, max] = [" ", ", "].map((between) =>
    [...extents].map(([axis, n]) => (between === " " ? `${axis}=${n}` : `${axis}: ${n}`)).join(between),
  );
  return (
    `the buffers of ${model} grew to ${formatBytes(bytes)} for ${at!}; load it with \`max: { ${max!} }\` to make ` +
    "that room at once"
  );
}
