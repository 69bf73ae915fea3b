// Measures contenders on a device within a budget: every one checked before it counts, the best of them again, taking
// turns.
import { bug } from "../base/invariant.js";
import { DeviceLostError, type Device, type Results } from "../runtime/index.js";
import type { Tunings } from "../schedule/tunings/index.js";
import type { Times } from "./choose.js";
import { median, Trial } from "./measure.js";
import type { Workload } from "./workload.js";

/** Tunings to be measured, by a short name. */
export interface Contender {
  readonly name: string;
  readonly tunings: Tunings;
}

export interface Limits {
  /** Milliseconds as `performance.now()` counts them. */
  readonly deadline: number;
  /** Aborted by an interrupt: what is measured by then counts. */
  readonly signal: AbortSignal;
  readonly report: (detail: string) => void;
}

export interface Measured {
  readonly workload: Workload;
  /** What is taken without measuring. */
  readonly baseline: Contender;
  /** Seconds of one computation by each contender that runs and agrees, the baseline first, unless it does not. */
  readonly times: Times<Contender>;
  /** How often the best of each size took turns. */
  readonly rounds: number;
  /** Contenders that do not run here, or give something else. */
  readonly refused: readonly { readonly name: string; readonly why: string }[];
  /** How many were measured or refused; fewer than there are where time was up. */
  readonly tried: number;
  readonly of: number;
}

/** Share of a workload's time for the first look at every contender; the rest is for the best. */
const FIRST_LOOK = 0.5;
/** Contenders of a size that are measured again, besides the first. */
const FINALISTS = 3;
const ROUNDS = 7;
/** Rounds below which a lucky moment of one contender may look like a gain. */
export const LEAST_ROUNDS = 3;
/** A first look that takes so many times as long as the best, waiting and all, is not timed. */
const HOPELESS = 3;

/**
 * Measures the contenders, of which the first is what is taken without measuring. Throws what the device throws when it
 * is gone.
 */
export async function measure(
  device: Device,
  workload: Workload,
  contenders: readonly Contender[],
  limits: Limits,
): Promise<Measured> {
  const [baseline] = contenders;
  if (!baseline) bug("nothing is to be measured");
  const looked = new FirstLook(device, workload);
  const start = performance.now();
  const until = start + FIRST_LOOK * (limits.deadline - start);
  const over = (deadline: number): boolean => limits.signal.aborted || performance.now() >= deadline;
  let tried = 0;
  const ready = await prepared(workload, limits);
  for (const contender of contenders) {
    if (!ready || over(until)) break;
    limits.report(`${tried + 1}/${contenders.length} ${contender.name}`);
    await looked.at(contender, () => over(limits.deadline));
    tried++;
  }
  const rounds = await looked.again(
    () => over(limits.deadline),
    (round) => limits.report(`the best again, round ${round}/${ROUNDS}`),
  );
  return { workload, baseline, times: looked.times(), rounds, refused: looked.refused, tried, of: contenders.length };
}

/** Whether what is measured was made; false where that was interrupted. */
async function prepared(workload: Workload, { signal, report }: Limits): Promise<boolean> {
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

function keep(samples: number[], seconds: number | null): void {
  if (seconds !== null) samples.push(seconds);
}

interface Entry {
  readonly contender: Contender;
  /** Of each size: seconds of one computation, at the first look. */
  readonly samples: number[][];
  /** The same, taking turns with the other best. */
  readonly turns: number[][];
}

class FirstLook {
  readonly #device: Device;
  readonly #workload: Workload;
  readonly #entries: Entry[] = [];
  readonly refused: { readonly name: string; readonly why: string }[] = [];
  /** What the first contender gave, by size: where bits are promised, all others must give the same. */
  readonly #given = new Map<number, Results>();
  readonly #bestOnce: number[];
  /** How many computations are timed at once, by size: as many for all. */
  readonly #repeats = new Map<number, number>();

  constructor(device: Device, workload: Workload) {
    this.#device = device;
    this.#workload = workload;
    this.#bestOnce = workload.sizes.map(() => Infinity);
  }

  async at(contender: Contender, over: () => boolean): Promise<void> {
    const { sizes } = this.#workload;
    let trial: Trial | null = null;
    try {
      trial = await Trial.load(this.#device, this.#workload, contender.tunings);
      const entry: Entry = { contender, samples: sizes.map(() => []), turns: sizes.map(() => []) };
      const given = new Map<number, Results>();
      for (const size of sizes) {
        if (over()) return;
        const results = await trial.results(size);
        const fault =
          this.#workload.faultOf(results, size) ?? (this.#workload.sameBits ? this.#otherBits(results, size) : null);
        if (fault !== null) return void this.refused.push({ name: contender.name, why: fault });
        given.set(size, results);
      }
      for (const [size, results] of given) if (!this.#given.has(size)) this.#given.set(size, results);
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
    // What is far behind needs no better number than this one, which is on the safe side.
    keep(entry.samples[s]!, once > HOPELESS * best ? once : await this.#sample(trial, size));
  }
  async #sample(trial: Trial, size: number): Promise<number | null> {
    let repeats = this.#repeats.get(size);
    if (repeats === undefined) this.#repeats.set(size, (repeats = await trial.repeatsFor(size)));
    // Where noise hides it, once more.
    return (await trial.sample(size, repeats)) ?? trial.sample(size, repeats);
  }

  #otherBits(results: Results, size: number): string | null {
    const given = this.#given.get(size);
    if (!given) return null;
    for (const { name } of this.#workload.graph.outputs) {
      const [a, b] = [results[name]!.data, given[name]!.data];
      const at = a.findIndex((value, i) => value !== b[i]);
      if (at >= 0) return `gives other bits than ${this.#entries[0]!.contender.name}: ${a[at]} and ${b[at]} at ${at}`;
    }
    return null;
  }

  /**
   * Those that are best at some size, and the first, measured in turns as long as there is time; the rounds that were
   * finished.
   */
  async again(over: () => boolean, report: (round: number) => void): Promise<number> {
    const { sizes } = this.#workload;
    const finals = sizes.map((_, s) => this.#finalists(s));
    const trials = new Map<Entry, Trial>();
    try {
      if (finals.every((f) => f.length === 0)) return 0;
      for (const entry of new Set(finals.flat())) {
        if (over()) return 0;
        const trial = await Trial.load(this.#device, this.#workload, entry.contender.tunings);
        trials.set(entry, trial);
        // Kernels are compiled by the first run that needs them.
        for (const [s, size] of sizes.entries()) if (finals[s]!.includes(entry)) await trial.results(size);
      }
      for (let round = 1; round <= ROUNDS; round++) {
        report(round);
        for (const [s, size] of sizes.entries())
          for (const entry of finals[s]!) {
            if (over()) return round - 1;
            keep(entry.turns[s]!, await this.#sample(trials.get(entry)!, size));
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
      seconds: this.#entries.map((e) => e.samples.map((first, s) => medianOrNull(e.turns[s]!) ?? medianOrNull(first))),
    };
  }
}
