// Runs a function that may change the states of a program, and restores them afterwards.
import type { Program } from "../program/program.js";
import type { Buffers } from "../steps/buffers.js";
import type { Device } from "../device/device.js";
import { BUFFER_USAGE } from "../device/gpu-flags.js";

export async function keepingStates<T>(
  program: Program,
  device: Device,
  buffers: Buffers,
  body: () => Promise<T>,
): Promise<T> {
  const { gpu } = device;
  const saved = program.states.map(({ slot }) => {
    const buffer = buffers.buffer(slot);
    return {
      slot,
      own: buffer,
      copy: gpu.createBuffer({
        label: "states before",
        size: buffer.size,
        usage: BUFFER_USAGE.copySrc | BUFFER_USAGE.copyDst,
      }),
    };
  });
  const move = (from: "own" | "copy", to: "own" | "copy"): void => {
    if (saved.length === 0) return;
    const encoder = gpu.createCommandEncoder();
    for (const pair of saved) encoder.copyBufferToBuffer(pair[from], 0, pair[to], 0, pair.own.size);
    gpu.queue.submit([encoder.finish()]);
  };
  move("own", "copy");
  try {
    return await body();
  } finally {
    // If the session was disposed of meanwhile, there are no states to restore.
    if (saved.every(({ slot, own }) => buffers.buffer(slot) === own)) move("copy", "own");
    for (const { copy } of saved) copy.destroy();
  }
}
