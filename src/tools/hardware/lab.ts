// Compiles a program with a card's own compiler and reports a row for each kernel that runs at these sizes: the facts
// that the compiler reports, the instructions that the code runs, and an estimate of time.
import { loopsOf, readCode } from "./isa/instruction.js";
import type { Program, ProgramStep } from "../../runtime/program/program.js";
import type { LiveValue } from "../../runtime/run/extents.js";
import { checkLive } from "../../runtime/run/extents.js";
import { WorkCosts, type WorkCost } from "../../runtime/profile/profile.js";
import { parseAxes, SizeTable } from "../../runtime/steps/sizes.js";
import { resolveSizes, type RunSizes } from "../../ground/size/axes.js";
import type { Card, Gpu } from "./isa/cards.js";
import { StepContents, asksGroups, numberedBy, threadsOf } from "./contents.js";
import { estimate, type Estimate } from "./estimate.js";
import type { NullDevice, Pipeline } from "./null-device-node.js";
import { follow, type Followed } from "./run/follow.js";
import { Prepared } from "./run/prepared.js";

type Dispatch = Extract<ProgramStep, { readonly kind: "dispatch" }>;

/** The compiler's report of a kernel. */
export interface Facts {
  readonly wave: number;
  readonly vectorRegisters: number;
  readonly scalarRegisters: number;
  /** Subgroups that a SIMD holds at a time. */
  readonly resident: number;
  readonly workgroupBytes: number;
  readonly spills: number;
  readonly scratchBytes: number;
  readonly codeBytes: number;
  readonly compileMs: number;
  readonly loops: number;
}

/** A kernel's facts and what a sample of its workgroups ran; see `Followed`. */
export interface Row {
  readonly kernel: string;
  readonly tuning: string;
  readonly workgroups: number;
  readonly threads: number;
  readonly facts: Facts;
  readonly followed: readonly Followed[];
  readonly estimate: Estimate;
}

export interface Lab {
  readonly card: Card;
  readonly rows: readonly Row[];
  /** Copies and clears, which the driver performs. */
  readonly others: number;
  /** Kernels in the program, including kernels that do not run at these sizes. */
  readonly kernels: number;
}

export interface LabOptions {
  readonly extents: ReadonlyMap<string, number>;
  readonly live?: Readonly<Record<string, LiveValue>>;
  /**
   * Whether products may round their operands to f16, so that the roof is the matrix units' peak. Default: as stored.
   */
  readonly half?: boolean;
}

/** A dispatch that runs at these sizes, with its compiled pipeline. */
export interface Translated {
  readonly step: Dispatch;
  readonly workgroups: number;
  readonly pipeline: Pipeline;
}

/**
 * The lab follows at most one workgroup in each sixteenth of a step's grid, at these fractions of the sixteenth. If
 * workgroups are numbered head by head, equal fractions would hit the same tile of rows again and again; multiples of
 * the golden ratio spread over the tiles of every head.
 */
const SHIFTS = Array.from({ length: 16 }, (_, i) => (0.5 + 0.618 * i) % 1);
/** The widest grid in one dimension: the runtime folds wider grids into two dimensions. */
const WIDEST = 65_535;

const runOf = (program: Program, { extents, live = {} }: LabOptions): RunSizes => ({
  extents,
  lengths: new Map(),
  live: checkLive(program, live, null),
});

/** Compiles the kernels that run at these sizes. `others`: the number of copies and clears. */
export async function translate(
  device: NullDevice<Gpu>,
  program: Program,
  options: LabOptions,
): Promise<{ readonly dispatches: readonly Translated[]; readonly others: number }> {
  const table = new SizeTable();
  const amounts = program.steps.map((step) => table.index(step.kind === "dispatch" ? step.workgroups : step.bytes));
  const values = table.values(resolveSizes(parseAxes(program), runOf(program, options)));
  const dispatches: Translated[] = [];
  let others = 0;
  for (const [i, step] of program.steps.entries()) {
    const workgroups = values[amounts[i]!]!;
    if (!(workgroups > 0)) continue;
    if (step.kind !== "dispatch") others++;
    else {
      const pipeline = await device.compile(program.kernels[step.kernel]!.wgsl);
      dispatches.push({ step, workgroups, pipeline });
    }
  }
  return { dispatches, others };
}

/** The first, the middle and the last entry. */
const some = <T>(all: readonly T[]): T[] => all.filter((_, i) => [0, all.length >> 1, all.length - 1].includes(i));

export async function labOf(device: NullDevice, program: Program, options: LabOptions): Promise<Lab> {
  const axes = parseAxes(program);
  const run = runOf(program, options);
  const { dispatches, others } = await translate(device, program, options);
  const costs = new WorkCosts(program, axes, run);
  const contents = new StepContents(program, axes, run, resolveSizes(axes, run));
  const prepared = new Map<string, Prepared>();
  const half = options.half ?? program.precision === "f16";
  const followed = dispatches.map((dispatch): FollowedStep => {
    const { step, pipeline } = dispatch;
    const { wgsl } = program.kernels[step.kernel]!;
    const code = prepared.get(wgsl) ?? new Prepared(readCode(pipeline.code), pipeline.subgroup, device.card);
    prepared.set(wgsl, code);
    return followStep({ card: device.card, dispatch, code, cost: costs.of(step.work), contents, program });
  });
  const largest = largestOfWorks(followed);
  const rows = followed.map((step) =>
    rowOf(
      device.card,
      program,
      largest.has(step) ? step : { ...step, cost: { ...step.cost, flops: 0, bytes: 0 } },
      half,
    ),
  );
  return { card: device.card, rows, others, kernels: program.kernels.length };
}

interface FollowedStep {
  readonly dispatch: Translated;
  readonly cost: WorkCost;
  readonly facts: Facts;
  readonly followed: readonly Followed[];
}

function followStep(of: {
  readonly card: Card;
  readonly program: Program;
  readonly dispatch: Translated;
  readonly code: Prepared;
  readonly cost: WorkCost;
  readonly contents: StepContents;
}): FollowedStep {
  const { card, program, dispatch, code, cost, contents } = of;
  const { step, workgroups, pipeline } = dispatch;
  const { wgsl } = program.kernels[step.kernel]!;
  const groups = [Math.min(workgroups, WIDEST), Math.ceil(workgroups / WIDEST), 1] as const;
  const rows = cost.rows && { kept: Math.max(1, Math.ceil(cost.rows.kept)), total: cost.rows.of };
  const launch = {
    wave: pipeline.subgroup,
    threads: threadsOf(wgsl),
    groups,
    buffers: contents.of(step, rows),
    asksGroups: asksGroups(wgsl),
    numbered: numberedBy(wgsl),
  };
  const followGroup = (n: number): Followed =>
    follow(code, { ...launch, group: [n % groups[0], Math.floor(n / groups[0]), 0] }, card);
  const samples = [...new Set(SHIFTS.map((shift, i) => Math.floor(((i + shift) * workgroups) / SHIFTS.length)))];
  const probes = some(samples);
  const followed = probes.map((n) => followGroup(n));
  // If the first, the middle and the last workgroup run equally many instructions in equally many cycles, the others
  // are assumed equal too.
  if (new Set(followed.map(({ mix, alone }) => `${mix.slots} ${alone}`)).size > 1)
    followed.push(...samples.filter((n) => !probes.includes(n)).map((n) => followGroup(n)));
  return { dispatch, cost, facts: factsOf(pipeline, code.loops.length), followed };
}

/** For each work, the kernel that runs the most instructions. The cost of the work is charged to that kernel. */
function largestOfWorks(steps: readonly FollowedStep[]): ReadonlySet<FollowedStep> {
  const slots = ({ followed, dispatch }: FollowedStep): number =>
    (followed.reduce((n, { mix }) => n + mix.slots, 0) / followed.length) * dispatch.workgroups;
  const largest = new Set<FollowedStep>();
  let last: FollowedStep | null = null;
  for (const step of steps) {
    const { work } = step.dispatch.step;
    const isSame: boolean = last !== null && work !== null && last.dispatch.step.work === work;
    if (isSame && slots(last!) >= slots(step)) continue;
    if (isSame) largest.delete(last!);
    largest.add(step);
    last = step;
  }
  return largest;
}

function rowOf(card: Card, program: Program, of: FollowedStep, half: boolean): Row {
  const { dispatch, cost, facts, followed } = of;
  const { name, tuning, wgsl } = program.kernels[dispatch.step.kernel]!;
  const { workgroups } = dispatch;
  return {
    kernel: name,
    tuning,
    workgroups,
    threads: threadsOf(wgsl).reduce((n, width) => n * width, 1),
    facts,
    followed,
    estimate: estimate({ card, followed, groups: workgroups, resident: facts.resident, cost, half }),
  };
}

/** Reads the facts by the names of RADV's statistics. */
export function factsOf(
  { subgroup, compileMs, statistics, code }: Pipeline,
  loops = loopsOf(readCode(code)).length,
): Facts {
  const of = (...names: readonly string[]): number => names.reduce((n, name) => n + (statistics[name] ?? 0), 0);
  return {
    wave: subgroup,
    vectorRegisters: of("VGPRs"),
    scalarRegisters: of("SGPRs"),
    resident: Math.max(1, of("Subgroups per SIMD")),
    workgroupBytes: of("LDS size"),
    spills: of("Spilled VGPRs", "Spilled SGPRs"),
    scratchBytes: of("Scratch size"),
    codeBytes: of("Code size"),
    compileMs,
    loops,
  };
}
