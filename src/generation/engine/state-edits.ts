// Changes of the states that the programs of an engine share: rows of a slot, and copies of a page's rows.
import type { Words } from "../../ground/base/dtype.js";
import { BUFFER_USAGE } from "../../runtime/device/gpu-flags.js";
import type { Session } from "../../runtime/index.js";

/** Values from an element of a state on. */
export interface Write {
  readonly state: string;
  readonly element: number;
  readonly data: Words;
}

/** Bytes of a state, copied within it. */
export interface Copy {
  readonly state: string;
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

/** Edits the states in the session's turn: behind the runs submitted before, before those submitted later. */
export const editStates = (session: Session, writes: readonly Write[], copies: readonly Copy[] = []): Promise<void> =>
  session.onStates(({ gpu }, buffer) => {
    for (const { state, element, data } of writes)
      // no memory is shared: the engine makes the data
      if (data.length > 0) gpu.queue.writeBuffer(buffer(state), 4 * element, data as Float32Array<ArrayBuffer>);
    if (copies.length === 0) return;
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
  });
