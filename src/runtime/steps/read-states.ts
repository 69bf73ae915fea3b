// Reads whole states back. Built packages omit this file.
import { countOf } from "../../ground/base/collections.js";
import type { Program } from "../program/program.js";
import type { Buffers } from "./buffers.js";
import type { Device } from "../device/device.js";
import { InputError } from "../device/errors.js";
import { BUFFER_USAGE, MAP_READ } from "../device/gpu-flags.js";
import { bytesThrough, typed, type StateShape, type StateValue } from "./states.js";

/**
 * Reads the named states one after the other, through a temporary buffer. Throws InputError for a name that is not a
 * state.
 */
export async function readStates(
  device: Device,
  buffers: Buffers,
  program: Program,
  names: readonly string[],
  shapeOf: StateShape,
): Promise<ReadonlyMap<string, StateValue>> {
  const states = names.map((name) => {
    const found = program.states.find((s) => s.name === name);
    if (!found) throw new InputError(name, `the program has no state ${name}`);
    return found;
  });
  if (states.length === 0) return new Map();
  const staging = device.gpu.createBuffer({
    label: "states",
    size: bytesThrough(states, shapeOf),
    usage: BUFFER_USAGE.mapRead | BUFFER_USAGE.copyDst,
  });
  const values = new Map<string, StateValue>();
  try {
    for (const state of states) {
      const shape = shapeOf(state);
      const bytes = new Uint8Array(4 * countOf(shape));
      for (let at = 0; at < bytes.length; at += staging.size) {
        const size = Math.min(staging.size, bytes.length - at);
        const encoder = device.gpu.createCommandEncoder();
        encoder.copyBufferToBuffer(buffers.buffer(state.slot), at, staging, 0, size);
        device.gpu.queue.submit([encoder.finish()]);
        await device.wait(async () => {
          await staging.mapAsync(MAP_READ, 0, size);
          // Throws if the device has been lost since.
          bytes.set(new Uint8Array(staging.getMappedRange(0, size)), at);
          staging.unmap();
        });
      }
      values.set(state.name, { dtype: state.dtype, shape, data: typed(state.dtype, bytes.buffer) });
    }
  } finally {
    staging.destroy();
  }
  return values;
}
