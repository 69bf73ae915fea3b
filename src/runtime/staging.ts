// The buffers that results are read back through, one for each run that may be under way at once: in one turn, or in
// several where results are larger than any device's buffers.
import { bug } from "../base/invariant.js";
import { DEFAULT_LIMITS } from "../program/target.js";
import type { Allocator } from "./allocator.js";
import type { Buffers } from "./buffers.js";
import type { Device } from "./device.js";
import { BUFFER_USAGE, MAP_READ } from "./gpu-flags.js";

/** Of a buffer that every device can make. */
const MOST_BYTES = DEFAULT_LIMITS.bufferBytes;

/** Bytes of a buffer through which so many are read. */
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
  readonly #buffers: (GPUBuffer | null)[];
  /** Buffers that no run reads through, by number, and the runs that wait for one. */
  readonly #free: number[];
  readonly #waiting: ((place: number) => void)[] = [];

  /** `count`: how many runs may be under way at once. `most`: bytes of one turn, a multiple of 8. */
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

  /** Of each buffer. */
  get bytes(): number {
    return this.#buffers[0]?.size ?? 0;
  }

  /** Whether so many bytes are read with the steps that made them; else no other run may begin meanwhile. */
  inOneTurn(bytes: number): boolean {
    return bytes <= this.#most;
  }

  /** Makes room for so many bytes in each buffer; no run may be under way. */
  ensure(bytes: number): void {
    const size = stagingBytes(bytes, this.#most);
    if (this.bytes >= size) return;
    this.destroy();
    this.#buffers.forEach((_, i) => {
      this.#buffers[i] = this.#allocator.create({
        label: "results",
        size,
        usage: BUFFER_USAGE.mapRead | BUFFER_USAGE.copyDst,
      });
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

  /**
   * Submits what is encoded with the copies behind it, and gives the bytes, read through the buffer of that number,
   * once the device has filled them.
   */
  async read(
    place: number,
    encoder: GPUCommandEncoder,
    buffers: Pick<Buffers, "buffer">,
    copies: readonly Copy[],
    bytes: number,
  ): Promise<ArrayBuffer> {
    const { gpu } = this.#device;
    const through = this.#buffers[place];
    if (!through) bug("results are read before there is room for them");
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

  /** Bytes from `start` to `stop` of what is read. */
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
    await this.#device.wait(() => through.mapAsync(MAP_READ, 0, size));
    const copy = through.getMappedRange(0, size).slice(0);
    through.unmap();
    return copy;
  }

  destroy(): void {
    this.#buffers.forEach((buffer, i) => {
      if (buffer) this.#allocator.destroy(buffer);
      this.#buffers[i] = null;
    });
  }
}
