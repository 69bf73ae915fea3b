// The buffer that results are read back through.
import type { Allocator } from "./allocator.js";
import type { Device } from "./device.js";
import { BUFFER_USAGE, MAP_READ } from "./gpu-flags.js";

/** Bytes of the buffer through which so many are read. */
export const stagingBytes = (bytes: number): number => Math.max(16, bytes);

export class Staging {
  readonly #device: Device;
  readonly #allocator: Allocator;
  #buffer: GPUBuffer | null = null;

  constructor(device: Device, allocator: Allocator) {
    this.#device = device;
    this.#allocator = allocator;
  }

  get buffer(): GPUBuffer {
    if (!this.#buffer) throw new Error("modc bug: results are read before there is room for them");
    return this.#buffer;
  }

  get bytes(): number {
    return this.#buffer?.size ?? 0;
  }

  /** Makes room for so many bytes. */
  ensure(bytes: number): void {
    if (this.bytes >= stagingBytes(bytes)) return;
    this.destroy();
    this.#buffer = this.#allocator.create({ label: "results", size: stagingBytes(bytes), usage: BUFFER_USAGE.mapRead | BUFFER_USAGE.copyDst });
  }

  /** The first bytes, once the device has filled them. */
  async read(bytes: number): Promise<ArrayBuffer> {
    const { buffer } = this;
    const size = Math.max(8, bytes);
    await this.#device.wait(() => buffer.mapAsync(MAP_READ, 0, size));
    const copy = buffer.getMappedRange(0, size).slice(0);
    buffer.unmap();
    return copy;
  }

  destroy(): void {
    if (this.#buffer) this.#allocator.destroy(this.#buffer);
    this.#buffer = null;
  }
}
