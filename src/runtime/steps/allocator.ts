// Creates and counts the buffers and textures of a session, and refuses to create any while a run is under way.
import { bug } from "../../ground/base/invariant.js";
import type { TextureShape } from "../program/textures.js";
import type { Device } from "../device/device.js";
import { OutOfMemoryError } from "../device/errors.js";
import { createTexture } from "../device/held-textures.js";

/** A buffer or, with `shape`, a texture; a texture's bytes are whole rows. */
export interface Wanted {
  readonly label: string;
  readonly size: number;
  readonly usage: number;
  readonly shape?: TextureShape | undefined;
}

export class Allocator {
  readonly #device: Device;
  readonly #sizes = new Map<GPUBuffer | GPUTexture, number>();
  #running = 0;
  /** Number of buffers and textures created so far. */
  made = 0;
  /** Total bytes of the buffers and textures in use. */
  bytes = 0;

  constructor(device: Device) {
    this.#device = device;
  }

  create(descriptor: GPUBufferDescriptor): GPUBuffer {
    if (this.#running > 0) bug(`a buffer (${descriptor.label ?? "unnamed"}) is made while a run is under way`);
    return this.#count(this.#device.gpu.createBuffer(descriptor), descriptor.size);
  }

  /** Creates all, or throws OutOfMemoryError if the device has no room, or DeviceLostError; then none is left. */
  async createAll(wanted: readonly Wanted[]): Promise<(GPUBuffer | GPUTexture)[]> {
    const { gpu } = this.#device;
    const created: (GPUBuffer | GPUTexture)[] = [];
    const scopes = wanted.map(({ label, size, usage, shape }) => {
      gpu.pushErrorScope("out-of-memory");
      created.push(
        shape ? this.#count(createTexture(gpu, label, shape, size), size) : this.create({ label, size, usage }),
      );
      return this.#device.wait(() => gpu.popErrorScope());
    });
    try {
      for (const [i, cause] of (await Promise.all(scopes)).entries())
        if (cause)
          throw new OutOfMemoryError(wanted[i]!.label, wanted[i]!.size, {
            hint: "give smaller sizes with `max`",
            cause,
          });
    } catch (error) {
      for (const one of created) this.destroy(one);
      throw error;
    }
    return created;
  }

  #count<T extends GPUBuffer | GPUTexture>(resource: T, bytes: number): T {
    this.#sizes.set(resource, bytes);
    this.made++;
    this.bytes += bytes;
    return resource;
  }

  destroy(made: GPUBuffer | GPUTexture): void {
    this.bytes -= this.#sizes.get(made) ?? 0;
    this.#sizes.delete(made);
    made.destroy();
  }

  /** Runs `body`; creating a buffer during it is a bug. */
  async sealed<T>(body: () => Promise<T>): Promise<T> {
    this.#running++;
    try {
      return await body();
    } finally {
      this.#running--;
    }
  }
}
