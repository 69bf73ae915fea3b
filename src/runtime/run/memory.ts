// Predicts the memory of a session: bytes of every buffer at any batch and length, from the sizes of a program's
// slots.
import type { Program } from "../program/program.js";
import { resolveSizes, type Axis, type RunSizes } from "../../ground/size/axes.js";
import type { CountMode } from "../../ground/size/counting.js";
import { slotSizes, roomOn, type RoomLimits } from "../steps/buffers.js";
import type { LimitError } from "../device/errors.js";
import { checkLive, checkMax, type LiveValue } from "./extents.js";
import { placeOutputs, selectOutputs } from "./outputs.js";
import { inputAxes, parseAxes, SizeTable } from "../steps/sizes.js";
import { stagingBytes } from "../steps/staging.js";
import { readingBytes } from "../steps/states.js";
import { uniformBytes } from "../steps/uniforms.js";

/** Bytes on the device by purpose. A slot with two purposes counts under the first of these fields. */
export interface MemoryUse {
  readonly weights: number;
  readonly states: number;
  readonly inputs: number;
  readonly results: number;
  /** Tables that the host computes from sizes: starts, positions, rotary angles. */
  readonly tables: number;
  /** Intermediate values: the peak, since slots are reused within a run. */
  readonly activations: number;
  /** Uniforms: sizes and constants of the kernels. */
  readonly uniforms: number;
  /** Buffers through which results are read back. */
  readonly staging: number;
  /** Everything that a session holds for its whole life. */
  readonly total: number;
  /** The buffer through which states are read back. It exists only during such a read, so `total` excludes it. */
  readonly reading: number;
}

export interface MemoryOptions {
  /** Extents of axes, like `LoadOptions.max`. */
  readonly max?: Readonly<Record<string, number>>;
  readonly live?: Readonly<Record<string, LiveValue>>;
  /** `minUniformBufferOffsetAlignment` of the device. Default 256, WebGPU's own. */
  readonly uniformAlignment?: number;
  /** Like `LoadOptions.inFlight`. */
  readonly inFlight?: number;
  /** The assumed number of routed tokens: the bound (the default), the expected number, or all tokens. */
  readonly mode?: CountMode;
}

/**
 * The exact memory that a session of the program allocates at these extents: `total` equals `session.memory.bytes`
 * after `load`. An axis's default extent is its bound, or 1 if it is unbounded. Throws InputError for an extent or a
 * live parameter that does not fit.
 */
export function memoryOf(program: Program, options: MemoryOptions = {}): MemoryUse {
  const axes = parseAxes(program);
  const chosen = checkMax(axes, options.max);
  const extents = new Map(inputAxes(axes).map((a) => [a.name, chosen.get(a.name) ?? a.bound ?? 1]));
  const run: RunSizes = { extents, lengths: new Map(), live: checkLive(program, options.live, null) };
  return summarise(
    program,
    memoryAt(program, axes, run, options.mode),
    uniformBytes(program, options.uniformAlignment ?? 256),
    options.inFlight ?? 1,
  );
}

/** The buffer sizes of one run: of each slot, and of the staging buffer. */
export interface BufferSizes {
  readonly slots: readonly number[];
  readonly staging: number;
}

export function memoryAt(
  program: Program,
  axes: readonly Axis[],
  run: RunSizes,
  mode: CountMode = "bound",
): BufferSizes {
  const table = new SizeTable();
  const slots = program.slots.map((s) => table.index(s.bytes));
  for (const output of program.outputs) for (const size of output.shape) table.index(size);
  const sizes = resolveSizes(axes, run, mode);
  const values = table.values(sizes);
  const { bytes } = placeOutputs(selectOutputs(program, { observe: true }), table, values, sizes);
  return {
    slots: slots.map((index) => values[index]!).map(slotSizes(program)),
    staging: stagingBytes(bytes),
  };
}

/** The error for the first slot that does not fit the device at these sizes; null if all fit. */
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

/** The purpose of each slot. */
function partsOf(program: Program): readonly Part[] {
  const parts = program.slots.map((): Part => "activations");
  // Later assignments override earlier ones.
  for (const { slot } of program.tables) parts[slot] = "tables";
  for (const output of program.outputs)
    for (const { slot } of [output, ...output.parts, ...output.starts]) parts[slot] = "results";
  for (const { slot } of program.inputs) if (slot !== null) parts[slot] = "inputs";
  for (const { slot } of program.states) parts[slot] = "states";
  for (const { slots } of program.weights) for (const { slot } of slots) parts[slot] = "weights";
  return parts;
}
