// Profiles a run: times each step several times, and reports the operators and cost of each.
import type { Program, ProgramStep } from "../program/program.js";
import { type Axis, resolveSizes, type RunSizes, type Sizes } from "../../ground/size/axes.js";
import { chosenFrom } from "../../ground/size/count-rules.js";
import { toNumber } from "../../ground/numerics/rational.js";
import { atomsOf } from "../../ground/size/size.js";
import type { Buffers } from "../steps/buffers.js";
import type { Device } from "../device/device.js";
import { InputError } from "../device/errors.js";
import { packsRows } from "../device/held-textures.js";
import { sizeOfText } from "../../ground/size/parse-size.js";
import type { Steps } from "../steps/steps.js";
import { clockFor, type Interval, submitted } from "./clock.js";
import { keepingStates } from "./states.js";
import { median } from "./statistics.js";

export interface ProfileOptions {
  /** Number of timed runs, after two warm-up runs: 1 to 1000, default 9. */
  readonly repeat?: number;
}

export interface Profile {
  /**
   * `timestamps`: by the device's clock, around each step. `submits`: the device has no time stamps; by the host's
   * clock, with each step submitted and waited for alone.
   */
  readonly clock: "timestamps" | "submits";
  readonly repeat: number;
  /** The median time of a whole run in one submit, on the host's clock, in milliseconds. */
  readonly wholeMs: number;
  /** In the order of the steps. */
  readonly works: readonly ProfiledWork[];
}

/** The executed steps of one work of the program: see `ProgramWork`. */
export interface ProfiledWork {
  /** Index in `program.works`; null if the program has no such entry. */
  readonly work: number | null;
  /** Indices in `program.steps`. */
  readonly steps: readonly number[];
  /** Start time in the run of median duration, in milliseconds. */
  readonly startMs: number;
  /** The sum of the medians of its steps. */
  readonly ms: number;
  /** Workgroups of all its dispatches. */
  readonly workgroups: number;
  readonly cost: WorkCost;
}

/** The first kernel of a work that does more than pack rows; if there is none, the first step. */
export function mainStep({ steps, kernels }: Program, work: ProfiledWork): ProgramStep {
  const workSteps = work.steps.map((s) => steps[s]!);
  return workSteps.find((s) => s.kind === "dispatch" && !packsRows(kernels[s.kernel]!)) ?? workSteps[0]!;
}

/**
 * The cost of a work at the sizes of a run. If only the device knows the number of chosen rows, the expected number
 * counts.
 */
export interface WorkCost {
  /** Floating-point operations; a multiply-add counts as two. */
  readonly flops: number;
  readonly bytes: number;
  /** The operations if no token were skipped. */
  readonly denseFlops: number;
  readonly denseBytes: number;
  readonly rows: RoutedRows | null;
}

/**
 * Rows of the routed axis that a work computes, and rows of the axis that they are chosen from; null for a work without
 * a routed axis.
 */
export interface RoutedRows {
  readonly kept: number;
  readonly of: number;
  /** False if only the device knows the number, and `kept` is the expected number. */
  readonly exact: boolean;
}

/** The parts of a session that profiling uses. */
export interface SessionParts {
  readonly program: Program;
  readonly device: Device;
  readonly buffers: Buffers;
  readonly steps: Steps;
  readonly axes: readonly Axis[];
  readonly run: RunSizes;
  readonly needed: Uint8Array;
  readonly signal: AbortSignal | undefined;
}

const WARM_UPS = 2;

/** Times the steps of a run and restores the states. */
export const profileSteps = (lent: SessionParts, options: ProfileOptions): Promise<Profile> =>
  keepingStates(lent.program, lent.device, lent.buffers, () => timeSteps(lent, options));

async function timeSteps(lent: SessionParts, options: ProfileOptions): Promise<Profile> {
  const repeat = options.repeat ?? 9;
  if (!Number.isInteger(repeat) || repeat < 1 || repeat > 1000)
    throw new InputError(null, `repeat is ${repeat}: it must be a whole number from 1 to 1000`);
  const { device, steps, buffers, needed } = lent;
  const active = steps.active(needed);
  const clock = await clockFor(device, steps, buffers, active);
  try {
    const samples: number[] = [];
    const runs: (readonly Interval[])[] = [];
    for (let i = 0; i < WARM_UPS + repeat; i++) {
      lent.signal?.throwIfAborted();
      const ms = await submitted(device, (encoder) => steps.encode(encoder, buffers, needed));
      const intervals = await clock.run();
      if (i < WARM_UPS) continue;
      samples.push(ms);
      runs.push(intervals);
    }
    return { clock: clock.kind, repeat, wholeMs: median(samples), works: worksOf(lent, active, runs) };
  } finally {
    clock.destroy();
  }
}

function worksOf(
  lent: SessionParts,
  active: readonly number[],
  runs: readonly (readonly Interval[])[],
): readonly ProfiledWork[] {
  const { program, steps } = lent;
  const lengths = runs.map((run) => run.at(-1)?.end ?? 0);
  const middle = runs[lengths.indexOf(median(lengths))]!;
  const costs = new WorkCosts(program, lent.axes, lent.run);
  const groups: { work: number | null; at: number[] }[] = [];
  active.forEach((step, i) => {
    const { work } = program.steps[step]!;
    const last = groups.at(-1);
    if (last && work !== null && last.work === work) last.at.push(i);
    else groups.push({ work, at: [i] });
  });
  return groups.map(({ work, at }) => ({
    work,
    steps: at.map((i) => active[i]!),
    startMs: middle[at[0]!]!.start,
    ms: at.reduce((sum, i) => sum + median(runs.map((run) => run[i]!.end - run[i]!.start)), 0),
    workgroups: at.reduce(
      (sum, i) => sum + (program.steps[active[i]!]!.kind === "dispatch" ? steps.amount(active[i]!) : 0),
      0,
    ),
    cost: costs.of(work),
  }));
}

const NOTHING: WorkCost = { flops: 0, bytes: 0, denseFlops: 0, denseBytes: 0, rows: null };

/** The costs of a program's works at the sizes of one run. */
export class WorkCosts {
  readonly #program: Pick<Program, "works">;
  readonly #axes: ReadonlyMap<string, Axis>;
  readonly #expected: Sizes;
  readonly #dense: Sizes;

  constructor(program: Pick<Program, "works">, axes: readonly Axis[], run: RunSizes) {
    this.#program = program;
    this.#axes = new Map(axes.map((a) => [a.name, a]));
    this.#expected = resolveSizes(axes, run, "expected");
    this.#dense = resolveSizes(axes, run, "dense");
  }

  of(work: number | null): WorkCost {
    const profiledWork = work === null ? undefined : this.#program.works[work];
    if (!profiledWork) return NOTHING;
    const [flops, bytes] = [sizeOfText(profiledWork.flops), sizeOfText(profiledWork.bytes)];
    const dense = profiledWork.denseFlops === undefined ? flops : sizeOfText(profiledWork.denseFlops);
    const routed = [...atomsOf(flops), ...atomsOf(bytes)].find(
      (a) => a.kind === "rows" && this.#parentOf(a.axis) !== a.axis,
    );
    return {
      flops: toNumber(this.#expected.rational(flops)),
      bytes: toNumber(this.#expected.rational(bytes)),
      denseFlops: toNumber(this.#dense.rational(dense)),
      denseBytes: toNumber(this.#dense.rational(bytes)),
      rows: routed?.kind === "rows" ? this.#rowsOf(routed.axis) : null,
    };
  }

  #rowsOf(axis: string): RoutedRows {
    const { rows: kept, exact } = this.#expected.sequence(axis);
    return { kept, of: this.#expected.sequence(this.#parentOf(axis)).rows, exact };
  }
  /** The unrouted axis from which the tokens were originally chosen. */
  #parentOf(name: string): string {
    let at = name;
    for (let parent = this.#chosenFrom(at); parent !== null; parent = this.#chosenFrom(at)) at = parent;
    return at;
  }
  #chosenFrom(name: string): string | null {
    const axis = this.#axes.get(name);
    return axis?.role === "sequence" ? chosenFrom(axis.count) : null;
  }
}
