// Edits the states that the programs of an engine share.
import type { Words } from "../../ground/base/dtype.js";
import type { Session } from "../../runtime/index.js";

/** Values from an element of a state on. */
export interface Write {
  readonly state: string;
  readonly element: number;
  readonly data: Words;
}

/** Edits buffers of states, by their names. */
export type Edit = Parameters<Session["onStates"]>[0];

/** Writes to states, and then `edit`s them, after the runs submitted before and before those submitted later. */
export const editStates = (session: Session, writes: readonly Write[], edit?: Edit | null): Promise<void> =>
  session.onStates((device, buffer) => {
    for (const { state, element, data } of writes)
      // no memory is shared: the engine makes the data
      if (data.length > 0) device.gpu.queue.writeBuffer(buffer(state), 4 * element, data as Float32Array<ArrayBuffer>);
    edit?.(device, buffer);
  });
