// Staging buffers, through which results are read back: one for each run that may be under way at once. Results larger
// than a device's largest buffer are read in several turns.
import { DEFAULT_LIMITS } from "../program/target.js";
import type { Allocator } from "./allocator.js";
import type { Buffers } from "./buffers.js";
import type { Device } from "../device/device.js";
import { BUFFER_USAGE, MAP_READ } from "../device/gpu-flags.js";

/** The largest buffer that every device can create. */
const MOST_BYTES = DEFAULT_LIMITS.bufferBytes;

/** The size of a staging buffer for `bytes` bytes of results. */
export const stagingBytes = (bytes: number, most = MOST_BYTES): number => Math.max(16, Math.min(bytes, most));

/** Copies the first `bytes` of a slot to offset `to` of the bytes read, a multiple of 8. */
export interface Copy {
  readonly slot: number;
  readonly to: number;
  readonly bytes: number;
}

export class Staging {
  readonly #device: Device;
  readonly #allocator: Allocator;
  readonly #most: number;
  #buffers: (GPUBuffer | null)[];
  #destroyed = false;
  /** Indices of free buffers, and the runs that wait for one. */
  readonly #free: number[];
  readonly #waiting: ((place: number) => void)[] = [];

  /** `count`: the number of runs that may be under way at once. `most`: the most bytes of one turn, a multiple of 8. */
  constructor(
    device: Device,
    allocator: Allocator,
    { count = 1, most = MOST_BYTES }: { readonly count?: number; readonly most?: number } = {},
  ) {
    this.#device = device;
    this.#allocator = allocator;
    this.#most = most;
    this.#buffers = Array.from({ length: count }, () => null);
    this.#free = this.#buffers.map((_, i) => i);
  }

  /** Bytes of each buffer. */
  get bytes(): number {
    return this.#buffers[0]?.size ?? 0;
  }
  get allBytes(): number {
    return this.bytes * this.#buffers.length;
  }

  /**
   * Whether `bytes` bytes can be read in one turn, in the submit of the steps that write them. If not, no other run may
   * begin meanwhile.
   */
  inOneTurn(bytes: number): boolean {
    return bytes <= this.#most;
  }

  /**
   * Grows each buffer to `bytes` bytes; no run may be under way. Throws OutOfMemoryError, with the buffers unchanged,
   * if the device has no room.
   */
  async ensure(bytes: number): Promise<void> {
    const size = stagingBytes(bytes, this.#most);
    if (this.bytes >= size) return;
    const usage = BUFFER_USAGE.mapRead | BUFFER_USAGE.copyDst;
    const created = await this.#allocator.createAll(this.#buffers.map(() => ({ label: "results", size, usage })));
    const [old, now] = [this.#buffers, created as GPUBuffer[]]; // buffers, since none has a shape
    for (const buffer of this.#destroyed ? now : old) if (buffer) this.#allocator.destroy(buffer);
    if (!this.#destroyed) this.#buffers = now;
  }

  /** Waits for a free buffer and returns its index. The caller owns it until `giveBack`. */
  async take(): Promise<number> {
    const free = this.#free.pop();
    return free ?? new Promise((resolve) => this.#waiting.push(resolve));
  }

  giveBack(place: number): void {
    const next = this.#waiting.shift();
    if (next) next(place);
    else this.#free.push(place);
  }

  /**
   * Submits the encoded commands followed by the copies, and returns the bytes read through the buffer at index
   * `place`.
   */
  async read(
    place: number,
    encoder: GPUCommandEncoder,
    buffers: Pick<Buffers, "buffer">,
    copies: readonly Copy[],
    bytes: number,
  ): Promise<ArrayBuffer> {
    const { gpu } = this.#device;
    const through = this.#buffers[place]!; // a session creates the buffers before its first run
    if (this.inOneTurn(bytes)) return this.#turn(through, encoder, buffers, copies, 0, bytes);
    const back = new Uint8Array(bytes);
    for (let start = 0; start < bytes; start += this.#most) {
      const stop = Math.min(start + this.#most, bytes);
      const part = await this.#turn(
        through,
        start === 0 ? encoder : gpu.createCommandEncoder(),
        buffers,
        copies,
        start,
        stop,
      );
      back.set(new Uint8Array(part, 0, stop - start), start);
    }
    return back.buffer;
  }

  /** Reads the bytes from `start` to `stop`. */
  async #turn(
    through: GPUBuffer,
    encoder: GPUCommandEncoder,
    buffers: Pick<Buffers, "buffer">,
    copies: readonly Copy[],
    start: number,
    stop: number,
  ): Promise<ArrayBuffer> {
    for (const { slot, to, bytes } of copies) {
      const [first, end] = [Math.max(to, start), Math.min(to + bytes, stop)];
      if (first < end)
        encoder.copyBufferToBuffer(buffers.buffer(slot), first - to, through, first - start, end - first);
    }
    this.#device.gpu.queue.submit([encoder.finish()]);
    const size = Math.max(8, stop - start);
    return this.#device.wait(async () => {
      await through.mapAsync(MAP_READ, 0, size);
      // Throws if the device has been lost since.
      const copy = through.getMappedRange(0, size).slice(0);
      through.unmap();
      return copy;
    });
  }

  destroy(): void {
    this.#destroyed = true;
    for (const buffer of this.#buffers) if (buffer) this.#allocator.destroy(buffer);
    this.#buffers = this.#buffers.map(() => null);
  }
}
