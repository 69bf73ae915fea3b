// The buffers that results are read back through: one for each run that may be under way at once.
import type { Allocator } from "./allocator.js";
import type { Device } from "./device.js";
import { BUFFER_USAGE, MAP_READ } from "./gpu-flags.js";

/** Bytes of a buffer through which so many are read. */
export const stagingBytes = (bytes: number): number => Math.max(16, bytes);

export class Staging {
  readonly #device: Device;
  readonly #allocator: Allocator;
  readonly #buffers: (GPUBuffer | null)[];
  /** Buffers that no run reads through, by number, and the runs that wait for one. */
  readonly #free: number[];
  readonly #waiting: ((place: number) => void)[] = [];

  /** `count`: how many runs may be under way at once. */
  constructor(device: Device, allocator: Allocator, count: number) {
    this.#device = device;
    this.#allocator = allocator;
    this.#buffers = Array.from({ length: count }, () => null);
    this.#free = this.#buffers.map((_, i) => i);
  }

  /** Of each buffer. */
  get bytes(): number {
    return this.#buffers[0]?.size ?? 0;
  }

  /** Makes room for so many bytes in each buffer; no run may be under way. */
  ensure(bytes: number): void {
    if (this.bytes >= stagingBytes(bytes)) return;
    this.destroy();
    this.#buffers.forEach((_, i) => {
      this.#buffers[i] = this.#allocator.create({ label: "results", size: stagingBytes(bytes), usage: BUFFER_USAGE.mapRead | BUFFER_USAGE.copyDst });
    });
  }

  /** The number of a buffer that is the caller's until it gives it back; waits for one. */
  async take(): Promise<number> {
    const free = this.#free.pop();
    return free ?? new Promise((resolve) => this.#waiting.push(resolve));
  }

  giveBack(place: number): void {
    const next = this.#waiting.shift();
    if (next) next(place);
    else this.#free.push(place);
  }

  buffer(place: number): GPUBuffer {
    const buffer = this.#buffers[place];
    if (!buffer) throw new Error("modc bug: results are read before there is room for them");
    return buffer;
  }

  /** The first bytes of a buffer, once the device has filled them. */
  async read(place: number, bytes: number): Promise<ArrayBuffer> {
    const buffer = this.buffer(place);
    const size = Math.max(8, bytes);
    await this.#device.wait(() => buffer.mapAsync(MAP_READ, 0, size));
    const copy = buffer.getMappedRange(0, size).slice(0);
    buffer.unmap();
    return copy;
  }

  destroy(): void {
    this.#buffers.forEach((buffer, i) => {
      if (buffer) this.#allocator.destroy(buffer);
      this.#buffers[i] = null;
    });
  }
}
