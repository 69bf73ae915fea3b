// Measures contenders on a device within a time budget: checks the results of each, times each once, then times the
// best ones again in rounds.
import { bug } from "../../ground/base/invariant.js";
import { DeviceLostError, type Device, type Results, load, type Session } from "../../runtime/index.js";
import type { Tunings } from "../../compiler/schedule/tunings/index.js";
import type { Times } from "./choose.js";
import { REPEATS, type Workload, repeatedName, repeatedProgram } from "./workload.js";

/** Tunings to measure, with a short name. */
export interface Contender {
  readonly name: string;
  readonly tunings: Tunings;
}

export interface Limits {
  /** When to stop, on the clock of `performance.now()`. */
  readonly deadline: number;
  /** Aborted by an interrupt. Earlier measurements count. */
  readonly signal: AbortSignal;
  readonly report: (detail: string) => void;
}

export interface Measured {
  readonly workload: Workload;
  /** The tunings in use before this measurement. */
  readonly baseline: Contender;
  /**
   * Seconds of one computation for each contender that runs and gives correct results. If the baseline is among them,
   * it is first.
   */
  readonly times: Times<Contender>;
  /** The number of rounds in which the finalists of each size were timed again. */
  readonly rounds: number;
  /** Contenders that do not run on this device or give wrong results. */
  readonly refused: readonly { readonly name: string; readonly why: string }[];
  /** The number of contenders measured or refused; fewer than `of` if time ran out. */
  readonly tried: number;
  readonly of: number;
}

/** Share of a workload's time for timing every contender once; the rest is for the finalists. */
const FIRST_ROUND_SHARE = 0.5;
/** The number of contenders of a size that are timed again, besides the baseline. */
const FINALISTS = 3;
const ROUNDS = 7;
/** With fewer rounds than this, noise in one contender's favour may look like a gain. */
export const MIN_ROUNDS = 3;
/** A contender whose single run takes this many times as long as the best is not timed further. */
const HOPELESS_RATIO = 3;

/** Measures the contenders, the first of which is the baseline. Throws the device's error if the device is lost. */
export async function measure(
  device: Device,
  workload: Workload,
  contenders: readonly Contender[],
  limits: Limits,
): Promise<Measured> {
  const [baseline] = contenders;
  if (!baseline) bug("there is nothing to measure");
  const tournament = new Tournament(device, workload);
  const start = performance.now();
  const until = start + FIRST_ROUND_SHARE * (limits.deadline - start);
  const over = (deadline: number): boolean => limits.signal.aborted || performance.now() >= deadline;
  let tried = 0;
  const ready = await prepareWorkload(workload, limits);
  for (const contender of contenders) {
    if (!ready || over(until)) break;
    limits.report(`${tried + 1}/${contenders.length} ${contender.name}`);
    await tournament.enter(contender, () => over(limits.deadline));
    tried++;
  }
  const rounds = await tournament.runFinals(
    () => over(limits.deadline),
    (round) => limits.report(`the best again, round ${round}/${ROUNDS}`),
  );
  return {
    workload,
    baseline,
    times: tournament.times(),
    rounds,
    refused: tournament.refused,
    tried,
    of: contenders.length,
  };
}

/** Prepares inputs and expected results; false if an interrupt stopped it. */
async function prepareWorkload(workload: Workload, { signal, report }: Limits): Promise<boolean> {
  try {
    await workload.prepare(async () => {
      report("what it must give");
      await new Promise((resolve) => setTimeout(resolve));
      signal.throwIfAborted();
    });
    return true;
  } catch (fault) {
    if (signal.aborted) return false;
    throw fault;
  }
}

const medianOrNull = (samples: readonly number[]): number | null => (samples.length === 0 ? null : median(samples));

function pushSample(samples: number[], seconds: number | null): void {
  if (seconds !== null) samples.push(seconds);
}

interface Entry {
  readonly contender: Contender;
  /** By size: seconds of one computation, from the first round. */
  readonly samples: number[][];
  /** By size: seconds of one computation, from the finalists' rounds. */
  readonly finalSamples: number[][];
}

class Tournament {
  readonly #device: Device;
  readonly #workload: Workload;
  readonly #entries: Entry[] = [];
  readonly refused: { readonly name: string; readonly why: string }[] = [];
  /**
   * Results of the first contender, by size. If the workload promises equal bits, all others must match these results.
   */
  readonly #firstResults = new Map<number, Results>();
  readonly #bestOnce: number[];
  /** The number of computations in a timed run, by size; equal for all contenders. */
  readonly #repeats = new Map<number, number>();

  constructor(device: Device, workload: Workload) {
    this.#device = device;
    this.#workload = workload;
    this.#bestOnce = workload.sizes.map(() => Infinity);
  }

  async enter(contender: Contender, over: () => boolean): Promise<void> {
    const { sizes } = this.#workload;
    let trial: Trial | null = null;
    try {
      trial = await Trial.load(this.#device, this.#workload, contender.tunings);
      const entry: Entry = { contender, samples: sizes.map(() => []), finalSamples: sizes.map(() => []) };
      const given = new Map<number, Results>();
      for (const size of sizes) {
        if (over()) return;
        const results = await trial.results(size);
        const fault =
          this.#workload.faultOf(results, size) ??
          (this.#workload.sameBits ? this.#differingBits(results, size) : null);
        if (fault !== null) return void this.refused.push({ name: contender.name, why: fault });
        given.set(size, results);
      }
      for (const [size, results] of given) if (!this.#firstResults.has(size)) this.#firstResults.set(size, results);
      this.#entries.push(entry);
      for (const [s, size] of sizes.entries()) {
        if (over()) return;
        await this.#time(trial, entry, s, size);
      }
    } catch (error) {
      if (error instanceof DeviceLostError || this.#device.lostError !== null || !(error instanceof Error)) throw error;
      this.refused.push({ name: contender.name, why: `does not run: ${error.message.split("\n")[0]!}` });
    } finally {
      trial?.dispose();
    }
  }

  async #time(trial: Trial, entry: Entry, s: number, size: number): Promise<void> {
    const once = await trial.once(size);
    const best = this.#bestOnce[s]!;
    this.#bestOnce[s] = Math.min(best, once);
    // A contender far slower than the best needs no better number: its single run overestimates the time.
    pushSample(entry.samples[s]!, once > HOPELESS_RATIO * best ? once : await this.#sample(trial, size));
  }
  /** Seconds of one computation; null if noise hides the time even with the most computations. */
  async #sample(trial: Trial, size: number): Promise<number | null> {
    const first = this.#repeats.get(size) ?? (await trial.repeatsFor(size));
    for (const repeats of [...REPEATS.filter((r) => r >= first), REPEATS.at(-1)!]) {
      this.#repeats.set(size, repeats);
      const seconds = await trial.sample(size, repeats);
      if (seconds !== null) return seconds;
    }
    return null;
  }

  #differingBits(results: Results, size: number): string | null {
    const given = this.#firstResults.get(size);
    if (!given) return null;
    for (const { name } of this.#workload.graph.outputs) {
      const [a, b] = [results[name]!.data, given[name]!.data];
      const at = a.findIndex((value, i) => value !== b[i]);
      if (at >= 0) return `gives other bits than ${this.#entries[0]!.contender.name}: ${a[at]} and ${b[at]} at ${at}`;
    }
    return null;
  }

  /** Times the finalists of each size in rounds until time is over. Returns the number of complete rounds. */
  async runFinals(over: () => boolean, report: (round: number) => void): Promise<number> {
    const { sizes } = this.#workload;
    const finals = sizes.map((_, s) => this.#finalists(s));
    const trials = new Map<Entry, Trial>();
    try {
      if (finals.every((f) => f.length === 0)) return 0;
      for (const entry of new Set(finals.flat())) {
        if (over()) return 0;
        const trial = await Trial.load(this.#device, this.#workload, entry.contender.tunings);
        trials.set(entry, trial);
        // The first run compiles the kernels.
        for (const [s, size] of sizes.entries()) if (finals[s]!.includes(entry)) await trial.results(size);
      }
      for (let round = 1; round <= ROUNDS; round++) {
        report(round);
        for (const [s, size] of sizes.entries())
          for (const entry of finals[s]!) {
            if (over()) return round - 1;
            pushSample(entry.finalSamples[s]!, await this.#sample(trials.get(entry)!, size));
          }
      }
      return ROUNDS;
    } finally {
      for (const trial of trials.values()) trial.dispose();
    }
  }

  #finalists(s: number): readonly Entry[] {
    const measured = this.#entries.filter((e) => e.samples[s]!.length > 0);
    const [first, ...rest] = measured;
    if (!first || rest.length === 0) return [];
    return [first, ...rest.toSorted((a, b) => median(a.samples[s]!) - median(b.samples[s]!)).slice(0, FINALISTS)];
  }

  times(): Times<Contender> {
    return {
      sizes: this.#workload.sizes,
      choices: this.#entries.map((e) => e.contender),
      seconds: this.#entries.map((e) =>
        e.samples.map((first, s) => medianOrNull(e.finalSamples[s]!) ?? medianOrNull(first)),
      ),
    };
  }
}

// Measures one candidate: loads it, runs it at every size, and derives its time from the difference between a run of
// many computations and a run of one.

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
