// Creates and counts the buffers and textures of a session, and refuses to create any while a run is under way.
import { bug } from "../base/invariant.js";
import type { TextureShape } from "../program/textures.js";
import { createTexture } from "./held-textures.js";

export class Allocator {
  readonly #gpu: GPUDevice;
  readonly #sizes = new Map<GPUBuffer | GPUTexture, number>();
  #running = 0;
  /** Number of buffers and textures created so far. */
  made = 0;
  /** Total bytes of those in use. */
  bytes = 0;

  constructor(gpu: GPUDevice) {
    this.#gpu = gpu;
  }

  create(descriptor: GPUBufferDescriptor): GPUBuffer {
    if (this.#running > 0) bug(`a buffer (${descriptor.label ?? "unnamed"}) is made while a run is under way`);
    return this.#count(this.#gpu.createBuffer(descriptor), descriptor.size);
  }

  /** A texture of so many bytes, which are whole rows. */
  createTexture(label: string, shape: TextureShape, bytes: number): GPUTexture {
    return this.#count(createTexture(this.#gpu, label, shape, bytes), bytes);
  }

  #count<T extends GPUBuffer | GPUTexture>(made: T, bytes: number): T {
    this.#sizes.set(made, bytes);
    this.made++;
    this.bytes += bytes;
    return made;
  }

  destroy(made: GPUBuffer | GPUTexture): void {
    this.bytes -= this.#sizes.get(made) ?? 0;
    this.#sizes.delete(made);
    made.destroy();
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
