// The buffer that results are read back through: at once, or in turns where they are larger than any device's buffers.
import { DEFAULT_LIMITS } from "../program/target.js";
import type { Allocator } from "./allocator.js";
import type { Buffers } from "./buffers.js";
import type { Device } from "./device.js";
import { BUFFER_USAGE, MAP_READ } from "./gpu-flags.js";

/** Of a buffer that every device can make. */
const MOST_BYTES = DEFAULT_LIMITS.bufferBytes;

/** Bytes of the buffer through which so many are read. */
export const stagingBytes = (bytes: number, most = MOST_BYTES): number => Math.max(16, Math.min(bytes, most));

/** The first `bytes` of a slot go to the place `to` of what is read; places are multiples of 8. */
export interface Copy {
  readonly slot: number;
  readonly to: number;
  readonly bytes: number;
}

export class Staging {
  readonly #device: Device;
  readonly #allocator: Allocator;
  readonly #most: number;
  #buffer: GPUBuffer | null = null;

  /** `most`: bytes of one turn, a multiple of 8. */
  constructor(device: Device, allocator: Allocator, most = MOST_BYTES) {
    this.#device = device;
    this.#allocator = allocator;
    this.#most = most;
  }

  get #made(): GPUBuffer {
    if (!this.#buffer) throw new Error("modc bug: results are read before there is room for them");
    return this.#buffer;
  }

  get bytes(): number {
    return this.#buffer?.size ?? 0;
  }

  /** Makes room for so many bytes. */
  ensure(bytes: number): void {
    const wanted = stagingBytes(bytes, this.#most);
    if (this.bytes >= wanted) return;
    this.destroy();
    this.#buffer = this.#allocator.create({ label: "results", size: wanted, usage: BUFFER_USAGE.mapRead | BUFFER_USAGE.copyDst });
  }

  /** Submits what is encoded with the copies behind it, and gives the bytes once the device has filled them. */
  async read(encoder: GPUCommandEncoder, buffers: Pick<Buffers, "buffer">, copies: readonly Copy[], bytes: number): Promise<ArrayBuffer> {
    const { gpu } = this.#device;
    if (bytes <= this.#most) return this.#turn(encoder, buffers, copies, 0, bytes);
    const back = new Uint8Array(bytes);
    for (let start = 0; start < bytes; start += this.#most) {
      const stop = Math.min(start + this.#most, bytes);
      const part = await this.#turn(start === 0 ? encoder : gpu.createCommandEncoder(), buffers, copies, start, stop);
      back.set(new Uint8Array(part, 0, stop - start), start);
    }
    return back.buffer;
  }

  /** Bytes from `start` to `stop` of what is read. */
  async #turn(encoder: GPUCommandEncoder, buffers: Pick<Buffers, "buffer">, copies: readonly Copy[], start: number, stop: number): Promise<ArrayBuffer> {
    const buffer = this.#made;
    for (const { slot, to, bytes } of copies) {
      const [first, end] = [Math.max(to, start), Math.min(to + bytes, stop)];
      if (first < end) encoder.copyBufferToBuffer(buffers.buffer(slot), first - to, buffer, first - start, end - first);
    }
    this.#device.gpu.queue.submit([encoder.finish()]);
    const size = Math.max(8, stop - start);
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
