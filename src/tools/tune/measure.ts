// Measures one candidate: loads it, runs it at every size, and derives its time from the difference between a run of
// many computations and a run of one.
import { load, type Device, type Results, type Session } from "../../runtime/index.js";
import type { Tunings } from "../../compiler/schedule/tunings/index.js";
import { repeatedName, repeatedProgram, REPEATS, type Workload } from "./workload.js";

/** The least duration of a timed run, by the device's wait mode: a software device is polled every millisecond. */
const MIN_SECONDS = { backoff: 0.01, native: 0.002 } as const;

/** A workload loaded on a device with one candidate's tunings. Dispose of it. */
export class Trial {
  readonly #session: Session;
  readonly #workload: Workload;
  readonly #once = new Map<number, number>();

  private constructor(session: Session, workload: Workload) {
    this.#session = session;
    this.#workload = workload;
  }

  /** Throws what `load` does. */
  static async load(device: Device, workload: Workload, tunings: Tunings): Promise<Trial> {
    const program = repeatedProgram(workload, device.target, tunings);
    return new Trial(
      await load(program, device, workload.weights, { max: { B: 1, T: workload.sizes.at(-1)! } }),
      workload,
    );
  }

  /** The results of one computation. */
  results(size: number): Promise<Results> {
    return this.#run(size, 1);
  }

  async #run(size: number, times: number): Promise<Results> {
    const outputs = this.#workload.graph.outputs.map((o) => repeatedName(o.name, times));
    return this.#session.run(this.#workload.inputs(size), { outputs });
  }

  async #seconds(size: number, times: number): Promise<number> {
    const start = performance.now();
    await this.#run(size, times);
    return (performance.now() - start) / 1000;
  }

  /** The least seconds so far of a run that computes the workload once, including the wait for its end. */
  async once(size: number): Promise<number> {
    const least = Math.min(this.#once.get(size) ?? Infinity, await this.#seconds(size, 1));
    this.#once.set(size, least);
    return least;
  }

  /** The number of computations in one run that take long enough to be timed. */
  async repeatsFor(size: number): Promise<number> {
    const once = await this.once(size);
    for (const times of REPEATS.slice(1))
      if ((await this.#seconds(size, times)) - once >= MIN_SECONDS[this.#session.device.waitMode]) return times;
    return REPEATS.at(-1)!;
  }

  /**
   * Seconds of one computation, from the difference between a run of `times` computations and a run of one; null if
   * noise hides the difference.
   */
  async sample(size: number, times: number): Promise<number | null> {
    const once = await this.once(size);
    const seconds = ((await this.#seconds(size, times)) - once) / (times - 1);
    return seconds > 0 ? seconds : null;
  }

  dispose(): void {
    this.#session.dispose();
  }
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
