// Creates and counts the buffers of a session, and refuses to create any while a run is under way.
import { bug } from "../base/invariant.js";

export class Allocator {
  readonly #gpu: GPUDevice;
  readonly #sizes = new Map<GPUBuffer, number>();
  #running = 0;
  /** Number of buffers created so far. */
  made = 0;
  /** Total bytes of the buffers in use. */
  bytes = 0;

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  create(descriptor: GPUBufferDescriptor): GPUBuffer {
    if (this.#running > 0) bug(`a buffer (${descriptor.label ?? "unnamed"}) is made while a run is under way`);
    const buffer = this.#gpu.createBuffer(descriptor);
    this.#sizes.set(buffer, descriptor.size);
    this.made++;
    this.bytes += descriptor.size;
    return buffer;
  }

  destroy(buffer: GPUBuffer): void {
    this.bytes -= this.#sizes.get(buffer) ?? 0;
    this.#sizes.delete(buffer);
    buffer.destroy();
  }

  /** Runs `body`; creating a buffer in it is a bug. */
  async sealed<T>(body: () => Promise<T>): Promise<T> {
    this.#running++;
    try {
      return await body();
    } finally {
      this.#running--;
    }
  }
}
