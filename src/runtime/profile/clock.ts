// Times each step: by the device's time stamps, or by waiting for each step if the device has none.
import type { Buffers } from "../steps/buffers.js";
import { checked } from "../device/checked.js";
import type { Device } from "../device/device.js";
import { BUFFER_USAGE, MAP_READ } from "../device/gpu-flags.js";
import type { Steps } from "../steps/steps.js";
import { median } from "./statistics.js";

/** The start and end of a step, in milliseconds since the start of the first step. */
export interface Interval {
  readonly start: number;
  readonly end: number;
}

export interface Clock {
  readonly kind: "timestamps" | "submits";
  /** Runs the steps once, in order, and times each. */
  run(): Promise<readonly Interval[]>;
  destroy(): void;
}

/** A clock for the device. `active`: indices of the steps that do any work, in order. */
export async function clockFor(
  device: Device,
  steps: Steps,
  buffers: Buffers,
  active: readonly number[],
): Promise<Clock> {
  return device.info.features.includes("timestamp-query")
    ? new StampClock(device, steps, buffers, active)
    : SubmitClock.open(device, steps, buffers, active);
}

/** The most queries in a query set (WebGPU, 20.1). */
const MOST_QUERIES = 4096;

class StampClock implements Clock {
  readonly kind = "timestamps";
  readonly #device: Device;
  readonly #steps: Steps;
  readonly #buffers: Buffers;
  readonly #active: readonly number[];
  readonly #sets: readonly GPUQuerySet[];
  readonly #resolved: GPUBuffer;
  readonly #back: GPUBuffer;

  constructor(device: Device, steps: Steps, buffers: Buffers, active: readonly number[]) {
    this.#device = device;
    this.#steps = steps;
    this.#buffers = buffers;
    this.#active = active;
    const queries = 2 * active.length;
    const { gpu } = device;
    this.#sets = Array.from({ length: Math.ceil(queries / MOST_QUERIES) }, (_, i) =>
      gpu.createQuerySet({ type: "timestamp", count: Math.min(MOST_QUERIES, queries - i * MOST_QUERIES) }),
    );
    const size = Math.max(16, 8 * queries);
    this.#resolved = gpu.createBuffer({
      label: "time stamps",
      size,
      usage: BUFFER_USAGE.queryResolve | BUFFER_USAGE.copySrc,
    });
    this.#back = gpu.createBuffer({ label: "time stamps", size, usage: BUFFER_USAGE.mapRead | BUFFER_USAGE.copyDst });
  }

  async run(): Promise<readonly Interval[]> {
    const { gpu } = this.#device;
    await checked(this.#device, "time a program", () => {
      const encoder = gpu.createCommandEncoder();
      this.#active.forEach((step, i) => {
        const query = 2 * i;
        const begin = query % MOST_QUERIES;
        this.#steps.encodeOne(encoder, this.#buffers, step, {
          querySet: this.#sets[Math.floor(query / MOST_QUERIES)]!,
          begin,
          end: begin + 1,
        });
      });
      this.#sets.forEach((set, i) => encoder.resolveQuerySet(set, 0, set.count, this.#resolved, 8 * MOST_QUERIES * i));
      encoder.copyBufferToBuffer(this.#resolved, 0, this.#back, 0, this.#back.size);
      gpu.queue.submit([encoder.finish()]);
      return this.#device.wait(() => this.#back.mapAsync(MAP_READ));
    });
    const stamps = new BigUint64Array(this.#back.getMappedRange().slice(0));
    this.#back.unmap();
    const zero = stamps[0] ?? 0n;
    // The stamps are in nanoseconds. With some drivers the clock jumps back.
    const at = (i: number): number => Number((stamps[i] ?? zero) - zero) / 1e6;
    return this.#active.map((_, i) => ({ start: at(2 * i), end: Math.max(at(2 * i), at(2 * i + 1)) }));
  }

  destroy(): void {
    for (const set of this.#sets) set.destroy();
    this.#resolved.destroy();
    this.#back.destroy();
  }
}

class SubmitClock implements Clock {
  readonly kind = "submits";
  /** Milliseconds to submit an empty command buffer and wait for it. */
  readonly #empty: number;
  readonly #device: Device;
  readonly #steps: Steps;
  readonly #buffers: Buffers;
  readonly #active: readonly number[];

  private constructor(device: Device, steps: Steps, buffers: Buffers, active: readonly number[], empty: number) {
    this.#device = device;
    this.#steps = steps;
    this.#buffers = buffers;
    this.#active = active;
    this.#empty = empty;
  }

  static async open(device: Device, steps: Steps, buffers: Buffers, active: readonly number[]): Promise<SubmitClock> {
    const times: number[] = [];
    for (let i = 0; i < 9; i++) times.push(await submitted(device, () => {}));
    return new SubmitClock(device, steps, buffers, active, median(times));
  }

  async run(): Promise<readonly Interval[]> {
    const intervals: Interval[] = [];
    let now = 0;
    for (const step of this.#active) {
      const time = await submitted(this.#device, (encoder) =>
        this.#steps.encodeOne(encoder, this.#buffers, step, null),
      );
      const start = now;
      now += Math.max(0, time - this.#empty);
      intervals.push({ start, end: now });
    }
    return intervals;
  }

  destroy(): void {}
}

/** Milliseconds on the host's clock from the submit to its completion. */
export async function submitted(device: Device, encode: (encoder: GPUCommandEncoder) => void): Promise<number> {
  const { queue } = device.gpu;
  let before = 0;
  await checked(device, "time a program", () => {
    const encoder = device.gpu.createCommandEncoder();
    encode(encoder);
    const commands = encoder.finish();
    before = performance.now();
    queue.submit([commands]);
    return device.wait(() => queue.onSubmittedWorkDone());
  });
  return performance.now() - before;
}
