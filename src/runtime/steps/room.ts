// Finds the slots of a program that a device cannot hold, from their sizes, before anything is allocated.
import type { Program } from "../program/program.js";
import { LimitError } from "../device/errors.js";
import { textureFault, texturesIn } from "../device/held-textures.js";

/** The limits, by WebGPU's names. */
export interface RoomLimits {
  readonly maxBufferSize: number;
  readonly maxStorageBufferBindingSize: number;
}

const SMALLER = "give smaller sizes with `max`, or shorter inputs; a bound on their length in the model also helps";
const COMPILE_FOR_IT = "compile with `target: device.target`, so that weights are cut into parts that fit";

/**
 * Returns a function that, given the bytes of each slot, returns the error for the first slot that does not fit; null
 * if all fit.
 */
export function roomOn(
  program: Pick<Program, "slots" | "steps" | "kernels" | "target">,
  { maxBufferSize, maxStorageBufferBindingSize }: RoomLimits,
): (needed: readonly number[]) => LimitError | null {
  // slots that a dispatch binds are subject to the limit of a binding
  const bound = new Set(program.steps.flatMap((step) => (step.kind === "dispatch" ? step.slots : [])));
  const textures = texturesIn(program);
  const elsewhere = maxStorageBufferBindingSize < program.target.limits.storageBindingBytes;
  return (needed) => {
    for (const [slot, bytes] of needed.entries()) {
      const { label, bytes: size } = program.slots[slot]!;
      const sizes = !(elsewhere && typeof size === "number");
      const fault = (limit: string, allowed: number): LimitError =>
        new LimitError(
          { label: label || `slot ${slot}`, limit, needed: bytes, allowed, unit: "bytes", sizes },
          sizes ? SMALLER : COMPILE_FOR_IT,
        );
      if (bytes > maxBufferSize) return fault("maxBufferSize", maxBufferSize);
      if (bound.has(slot) && !textures?.has(slot) && bytes > maxStorageBufferBindingSize)
        return fault("maxStorageBufferBindingSize", maxStorageBufferBindingSize);
    }
    return textureFault(textures, needed) ?? null;
  };
}
