// A model of time: estimates a kernel's duration on a card from the instructions that its workgroups ran. The model is
// never a measurement: all loads have the same latency, caches never miss, the clock is constant, dispatches run one
// after the other.
import type { WorkCost } from "../../runtime/profile/profile.js";
import { peakOf, type Card } from "./isa/cards.js";
import type { Followed } from "./run/follow.js";
import { DRAWN, UNKNOWN } from "./run/wave.js";

/** The resource that limits a kernel. */
export type Bound = "arithmetic" | "matrix units" | "scalar" | "workgroup memory" | "loads" | "waiting" | "memory";

export interface Estimate {
  readonly us: number;
  readonly by: Bound;
  /** `least`: loops of unknown length were counted once. `drawn`: the length of some loop depends on random values. */
  readonly ground: "sizes" | "drawn" | "least";
  /** The time of the kernel's operations and bytes at the card's peak. */
  readonly roofUs: number;
  /** The share of a SIMD's best rate that the kernel reaches with as many subgroups as the SIMD holds. */
  readonly fullShare: number | null;
  /**
   * `busy`: cycles for which one subgroup occupies a SIMD. `alone`: cycles of the longest workgroup, if it ran alone.
   */
  readonly busy: number;
  readonly alone: number;
}

export interface Estimated {
  readonly card: Card;
  /** A sample of the workgroups. */
  readonly followed: readonly Followed[];
  readonly groups: number;
  /** Subgroups that a SIMD holds at a time. */
  readonly resident: number;
  readonly cost: Pick<WorkCost, "flops" | "bytes">;
  /** Whether operands may be rounded to f16; then the roof is the peak of the matrix units. */
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
  // The SIMD with the most subgroups ends last. If all subgroups take equally long, they run in rounds of as many
  // subgroups as the SIMD holds; otherwise, each subgroup starts when an earlier one ends.
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
