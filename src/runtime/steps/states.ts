// States on the host: reads and writes whole states, and shares states between sessions by name.
import { countOf } from "../../ground/base/collections.js";
import { bug } from "../../ground/base/invariant.js";
import type { Program, ProgramState } from "../program/program.js";
import type { DType, Words } from "../../ground/base/dtype.js";
import type { Buffers, SharedSlot } from "./buffers.js";
import type { Device } from "../device/device.js";
import { InputError } from "../device/errors.js";
import { sharedWeightSlots } from "./shared-weights.js";

/** The value of one state, row-major. */
export interface StateValue {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** f32: Float32Array, i32: Int32Array, u32: Uint32Array. */
  readonly data: Words;
}

/** Returns the present shape of a state. */
export type StateShape = (state: ProgramState) => readonly number[];

/**
 * Maps the slot of each state of `program` to the slot of `owner`'s state with the same name. Throws InputError if the
 * owner lacks a state, or has it in another shape.
 */
function sharedStates(program: Program, owner: SlotOwner): ReadonlyMap<number, SharedSlot> {
  const owned = new Map(owner.program.states.map((s) => [s.name, s]));
  return new Map(
    program.states.map((state) => {
      const ownedState = owned.get(state.name);
      if (!ownedState)
        throw new InputError(state.name, `the session that shares its states has no state ${state.name}`);
      const [shape, ownedShape] = [state.shape, ownedState.shape];
      if (shape.join() !== ownedShape.join() || state.dtype !== ownedState.dtype)
        throw new InputError(
          state.name,
          `state ${state.name} is ${state.dtype}[${shape.join(", ")}] here and ` +
            `${ownedState.dtype}[${ownedShape.join(", ")}] there`,
        );
      return [state.slot, { buffers: owner.buffers, slot: ownedState.slot }];
    }),
  );
}

/** A session that owns slots. */
export interface SlotOwner {
  readonly program: Program;
  readonly buffers: Buffers;
}

/** The slots of `program` that belong to other sessions: slots of states and of weights. */
export const sharedSlots = (
  program: Program,
  statesOf: SlotOwner | null,
  weightsOf: SlotOwner | null,
): ReadonlyMap<number, SharedSlot> =>
  new Map([
    ...(statesOf ? sharedStates(program, statesOf) : []),
    ...(weightsOf
      ? [...sharedWeightSlots(program, weightsOf.program)].map(
          ([slot, own]) => [slot, { buffers: weightsOf.buffers, slot: own }] as const,
        )
      : []),
  ]);

/** The buffer of each state, by name. */
export function stateBuffers({ states }: Program, buffers: Buffers): (state: string) => GPUBuffer {
  const slots = new Map(states.map((s) => [s.name, s.slot]));
  return (state) => buffers.buffer(slots.get(state) ?? bug(`no state ${state}`));
}

/** Bytes read back in one piece, which bounds the staging buffer. */
const PIECE = 16 * 1024 * 1024;

/**
 * Bytes of the buffer through which states are read one after the other; 0 without states. States whose extents depend
 * on the run do not count.
 */
export function readingBytes(states: readonly ProgramState[]): number {
  return bytesThrough(states, (s) => s.shape.map((d) => (typeof d === "number" ? d : 0)));
}

/** Bytes of the buffer for states of these shapes. */
export const bytesThrough = (states: readonly ProgramState[], shapeOf: StateShape): number =>
  states.length === 0 ? 0 : Math.max(16, Math.min(PIECE, Math.max(...states.map((s) => 4 * countOf(shapeOf(s))))));

/**
 * Writes the values of states. Throws InputError, before anything is written, for a name that is not a state or a value
 * that does not fit.
 */
export function writeStates(
  device: Device,
  buffers: Buffers,
  states: readonly ProgramState[],
  values: ReadonlyMap<string, Pick<StateValue, "data">>,
  shapeOf: StateShape,
): void {
  const byName = new Map(states.map((s) => [s.name, s]));
  const writes = [...values].map(([name, { data }]) => {
    const state = byName.get(name);
    if (!state) throw new InputError(name, `the program has no state ${name}`);
    const arrayType = typed(state.dtype, new ArrayBuffer(0)).constructor;
    const shape = shapeOf(state);
    if (data.constructor !== arrayType || data.length !== countOf(shape))
      throw new InputError(
        name,
        `state ${name} is ${state.dtype}[${shape.join(", ")}]: a ${arrayType.name} of ${countOf(shape)} values, ` +
          `not a ${data.constructor.name} of ${data.length}`,
      );
    return { buffer: buffers.buffer(state.slot), data };
  });
  for (const { buffer, data } of writes)
    // the constructor checked that the caller's memory is not shared
    if (data.length > 0) device.gpu.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
}

/** A typed view of a state's bytes. */
export function typed(dtype: DType, buffer: ArrayBuffer): Words {
  switch (dtype) {
    case "f32":
    case "f16":
      return new Float32Array(buffer);
    case "i32":
      return new Int32Array(buffer);
    case "u32":
    case "bool":
      return new Uint32Array(buffer);
    default:
      return dtype satisfies never;
  }
}
