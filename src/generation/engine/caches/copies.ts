// Edits of states on the device: rows of pages are copied, since a sequence adds to its own copy of a shared page, and
// states of recurrences begin as zeros.
import { BUFFER_USAGE } from "../../../runtime/device/gpu-flags.js";
import type { GenerationState } from "../../../runtime/program/generation.js";
import type { Edit } from "./caches.js";

/** Bytes of a state, copied within it. */
export interface Copy {
  readonly state: string;
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

/** The edit that copies; null if there is nothing to copy. */
export const copying = (copies: readonly Copy[]): Edit | null =>
  copies.length === 0
    ? null
    : ({ gpu }, buffer) => {
        // WebGPU copies nothing within a buffer.
        const size = copies.reduce((sum, { bytes }) => sum + bytes, 0);
        const between = gpu.createBuffer({ label: "pages", size, usage: BUFFER_USAGE.copySrc | BUFFER_USAGE.copyDst });
        const encoder = gpu.createCommandEncoder();
        let at = 0;
        for (const { state, from, bytes } of copies) {
          encoder.copyBufferToBuffer(buffer(state), from, between, at, bytes);
          at += bytes;
        }
        at = 0;
        for (const { state, to, bytes } of copies) {
          encoder.copyBufferToBuffer(between, at, buffer(state), to, bytes);
          at += bytes;
        }
        gpu.queue.submit([encoder.finish()]);
        between.destroy();
      };

/** The edit that sets the states in a slot to zeros; null without states. */
export const clearing = (states: readonly GenerationState[], slot: number): Edit | null =>
  states.length === 0
    ? null
    : ({ gpu }, buffer) => {
        const encoder = gpu.createCommandEncoder();
        for (const { name, bytes } of states) encoder.clearBuffer(buffer(name), slot * bytes, bytes);
        gpu.queue.submit([encoder.finish()]);
      };

/** The edit that does several, one after the other; null if there is none. */
export const inTurn = (...edits: readonly (Edit | null)[]): Edit | null => {
  const all = edits.filter((edit) => edit !== null);
  return all.length === 0 ? null : (device, buffer) => all.forEach((edit) => edit(device, buffer));
};
