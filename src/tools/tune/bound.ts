// The bound of a measured kernel. At the device's best speed, its arithmetic, bytes and dispatches each take a share of
// its time.
import { emit } from "../../compiler/codegen/emit.js";
import type { Program } from "../../runtime/program/program.js";
import type { Target } from "../../runtime/program/target.js";
import type { DeviceBest } from "../../runtime/index.js";
import { parseAxes, SizeTable } from "../../runtime/steps/sizes.js";
import { schedule } from "../../compiler/schedule/schedule.js";
import type { Tunings } from "../../compiler/schedule/tunings/index.js";
import { resolveSizes } from "../../ground/size/axes.js";
import type { Workload } from "./workload.js";

/**
 * `other`: no share is half of the time. The kernel waits for loads or barriers, has too few workgroups, issues other
 * instructions, or is held up by workgroup memory; its time does not tell which.
 */
export type BoundKind = "arithmetic" | "memory" | "dispatch" | "other";

export interface Bound {
  readonly by: BoundKind;
  /** Of the measured time; noise may take one above 1. `arithmetic`: null on matrix units and if not counted. */
  readonly shares: { readonly arithmetic: number | null; readonly memory: number; readonly dispatch: number };
  /** The kernels that ran: `matmul_row ROWS=1`. */
  readonly kernels: readonly string[];
}

/** The operations and bytes of a computation, by the host's count. */
export interface Work {
  /** Null: not counted, or not done by the multiply-adds whose rate is known. */
  readonly flops: number | null;
  readonly bytes: number;
  readonly dispatches: number;
}

/** From this share on, something bounds a kernel. */
const BINDING = 0.5;

export function sharesOf(
  { flops, bytes, dispatches }: Work,
  seconds: number,
  best: DeviceBest,
): Omit<Bound, "kernels"> {
  const shares = {
    arithmetic: flops === null ? null : flops / best.flops / seconds,
    memory: readSeconds(bytes, best) / seconds,
    dispatch: (dispatches * best.dispatchSeconds) / seconds,
  };
  const kinds = ["arithmetic", "memory", "dispatch"] as const;
  const largest = kinds.reduce((a, b) => ((shares[b] ?? 0) > (shares[a] ?? 0) ? b : a));
  return { by: (shares[largest] ?? 0) >= BINDING ? largest : "other", shares };
}

/** Seconds to read so many bytes, by the least of the measured sizes that has as many: what fits a cache is in it. */
function readSeconds(bytes: number, { reads, dispatchSeconds }: DeviceBest): number {
  const measured = reads.find((read) => read.bytes >= bytes) ?? reads.at(-1)!;
  // The measured time includes the time of a dispatch. If noise makes the difference negative, the whole time counts.
  const withoutDispatch = measured.seconds - dispatchSeconds;
  return (bytes * (withoutDispatch > 0 ? withoutDispatch : measured.seconds)) / measured.bytes;
}

/** The workload computed once, by these tunings. */
export const programOf = ({ graph, precision }: Workload, target: Target, tunings: Tunings): Program =>
  emit(schedule(graph, target, tunings, precision));

/** The extents of a workload's program at a size. */
export const extentsAt = ({ axes }: Program, size: number): ReadonlyMap<string, number> =>
  new Map(axes.map(({ name }) => [name, name === "T" ? size : 1]));

/** The bound of a workload at a size, which took so many seconds by these tunings. */
export function boundOf(
  workload: Workload,
  size: number,
  { target, tunings, seconds }: { readonly target: Target; readonly tunings: Tunings; readonly seconds: number },
  best: DeviceBest,
): Bound {
  const program = programOf(workload, target, tunings);
  const table = new SizeTable();
  const amounts = program.steps.map((step) => table.index(step.kind === "dispatch" ? step.workgroups : step.bytes));
  const run = { extents: extentsAt(program, size), lengths: new Map(), live: new Map() };
  const values = table.values(resolveSizes(parseAxes(program), run));
  const ran = program.steps.filter((_, i) => values[amounts[i]!]! > 0);
  const kernels = ran.flatMap((step) => (step.kind === "dispatch" ? [program.kernels[step.kernel]!] : []));
  const onUnits = kernels.some(({ wgsl }) => wgsl.includes("enable chromium_experimental_subgroup_matrix;"));
  const work = {
    flops: onUnits ? null : workload.flops(size),
    bytes: workload.bytes(size),
    dispatches: ran.length,
  };
  return {
    ...sharesOf(work, seconds, best),
    kernels: kernels.map(({ name, tuning }) => `${name.replace(/\.\d+$/, "")} ${tuning}`.trimEnd()),
  };
}
