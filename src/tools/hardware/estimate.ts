// A model of time: what a kernel takes on a card, from the instructions that its workgroups ran. An estimate, never a
// measurement: one latency for all loads, no cache misses, no clock that changes, dispatches one after the other.
import type { WorkCost } from "../../runtime/profile/profile.js";
import { peakOf, type Card } from "./cards.js";
import type { Followed } from "./run/follow.js";
import { DRAWN, UNKNOWN } from "./run/wave.js";

/** What holds a kernel up. */
export type Bound = "arithmetic" | "matrix units" | "scalar" | "workgroup memory" | "loads" | "waiting" | "memory";

export interface Estimate {
  readonly us: number;
  readonly by: Bound;
  /** `least`: loops whose length is not known were counted once. `drawn`: their length hangs on drawn values. */
  readonly ground: "sizes" | "drawn" | "least";
  /** Operations and bytes of the work at the card's peak. */
  readonly roofUs: number;
  /** Of the best rate of a SIMD, were there as many subgroups as it holds. */
  readonly fullShare: number | null;
  /** Cycles that a SIMD is busy with a subgroup, and that the longest workgroup takes alone. */
  readonly busy: number;
  readonly alone: number;
}

export interface Estimated {
  readonly card: Card;
  /** Some of the workgroups. */
  readonly followed: readonly Followed[];
  readonly groups: number;
  /** Subgroups that a SIMD holds at a time. */
  readonly resident: number;
  readonly cost: Pick<WorkCost, "flops" | "bytes">;
  /** Whether operands may be rounded to f16, for which the roof is the matrix units'. */
  readonly half: boolean;
}

const sum = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0);

export function estimate({ card, followed, groups, resident, cost, half }: Estimated): Estimate {
  const waves = followed[0]!.waves;
  const n = followed.length * waves;
  const mean = (of: (f: Followed) => number): number => sum(followed.map(of)) / n;
  const matrix = sum(followed.map(({ mix }) => mix.matrix)) > 0;
  const pipes: readonly (readonly [Bound, number])[] = [
    [matrix ? "matrix units" : "arithmetic", mean(({ mix }) => mix.vectorCycles)],
    ["workgroup memory", mean(({ mix }) => mix.localCycles)],
    ["loads", mean(({ mix }) => mix.vectorMemoryCycles)],
    ["scalar", mean(({ mix }) => mix.scalarCycles)],
  ];
  const [pipe, cycles] = pipes.reduce((a, b) => (b[1] > a[1] ? b : a));
  const busy = Math.max(1, cycles);
  const alone = Math.max(...followed.map((f) => f.alone));
  const usual = sum(followed.map((f) => f.alone)) / followed.length;
  // The SIMD that gets most subgroups ends last. If its subgroups take equally long, they run in rounds of as many as
  // the SIMD holds; if not, one begins when another ends.
  const most = Math.ceil((groups * waves) / card.simds);
  const rounds = most / resident;
  const waiting = Math.max(alone, (alone > 1.1 * usual ? rounds : Math.ceil(rounds)) * usual);
  const run = Math.max(most * busy, waiting) / card.clock;
  const memory = cost.bytes / card.bandwidth;
  const flops = sum(followed.map(({ mix }) => mix.flops)) / n;
  const perCycle = peakOf(card, matrix) / card.simds / card.clock;
  const ground = Math.max(...followed.map((f) => f.ground));
  return {
    us: 1e6 * Math.max(run, memory),
    by: memory >= run ? "memory" : waiting > most * busy ? "waiting" : pipe,
    ground: ground === UNKNOWN ? "least" : ground === DRAWN ? "drawn" : "sizes",
    roofUs: 1e6 * Math.max(memory, cost.flops / peakOf(card, half || matrix)),
    fullShare: flops === 0 ? null : flops / perCycle / Math.max(busy, alone / resident),
    busy,
    alone,
  };
}
