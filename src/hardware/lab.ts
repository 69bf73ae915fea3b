// What a card's own compiler makes of a program: a row for each kernel that runs at these sizes, with the facts that the
// compiler reports, what the code's loops come to, and an estimate of time.
import { readCode } from "./isa/instruction.js";
import type { Program, ProgramStep } from "../program/program.js";
import type { LiveValue } from "../runtime/extents.js";
import { checkLive } from "../runtime/extents.js";
import { WorkCosts, type WorkCost } from "../runtime/profile/profile.js";
import { parseAxes, SizeTable } from "../runtime/sizes.js";
import { resolveSizes, type RunSizes } from "../size/axes.js";
import type { Card } from "./cards.js";
import { StepContents } from "./contents.js";
import { estimate, type Estimate } from "./estimate.js";
import { asksGroups, numberedBy, threadsOf } from "./kernel-text.js";
import type { NullDevice, Pipeline } from "./null-device.js";
import { follow, type Followed } from "./run/follow.js";
import { Prepared } from "./run/prepared.js";

type Dispatch = Extract<ProgramStep, { readonly kind: "dispatch" }>;

/** What the card's compiler reports of a kernel. */
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

/** What some of its workgroups ran, by sizes and code: see `Followed`. */
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
  /** Copies and clears, which are the driver's own. */
  readonly others: number;
  /** Kernels in the program, of which these sizes run some. */
  readonly kernels: number;
}

export interface LabOptions {
  readonly extents: ReadonlyMap<string, number>;
  readonly live?: Readonly<Record<string, LiveValue>>;
  /** Whether products may round their operands to f16, so that matrix units are the roof. Default: as stored. */
  readonly half?: boolean;
}

/** Workgroups that are followed of each step. */
const SAMPLES = 3;
/** No grid is wider: the runtime folds it over two dimensions. */
const WIDEST = 65_535;

export async function labOf(
  device: NullDevice,
  program: Program,
  { extents, live = {}, half = program.precision === "f16" }: LabOptions,
): Promise<Lab> {
  const axes = parseAxes(program);
  const run: RunSizes = { extents, lengths: new Map(), live: checkLive(program, live, null) };
  const sizes = resolveSizes(axes, run);
  const table = new SizeTable();
  const amounts = program.steps.map((step) => table.index(step.kind === "dispatch" ? step.workgroups : step.bytes));
  const values = table.values(sizes);
  const costs = new WorkCosts(program, axes, run);
  const contents = new StepContents(program, axes, run, sizes);
  const prepared = new Map<string, Prepared>();
  const rows: Row[] = [];
  let others = 0;
  let counted: number | null = null;
  for (const [i, step] of program.steps.entries()) {
    const amount = values[amounts[i]!]!;
    if (!(amount > 0)) continue;
    if (step.kind !== "dispatch") {
      others++;
      continue;
    }
    const kernel = program.kernels[step.kernel]!;
    const pipeline = await device.compile(kernel.wgsl);
    const code = prepared.get(kernel.wgsl) ?? new Prepared(readCode(pipeline.code), pipeline.subgroup, device.card);
    prepared.set(kernel.wgsl, code);
    const own = costs.of(step.work);
    // The cost of a work is its first kernel's.
    const cost = step.work !== null && step.work === counted ? { ...own, flops: 0, bytes: 0 } : own;
    counted = step.work;
    rows.push(rowOf({ device, step, amount, code, pipeline, cost, contents, program, half }));
  }
  return { card: device.card, rows, others, kernels: program.kernels.length };
}

function rowOf(of: {
  readonly device: NullDevice;
  readonly program: Program;
  readonly step: Dispatch;
  readonly amount: number;
  readonly code: Prepared;
  readonly pipeline: Pipeline;
  readonly cost: WorkCost;
  readonly contents: StepContents;
  readonly half: boolean;
}): Row {
  const { device, program, step, amount, code, pipeline, cost, contents, half } = of;
  const { name, tuning, wgsl } = program.kernels[step.kernel]!;
  const threads = threadsOf(wgsl);
  const groups = [Math.min(amount, WIDEST), Math.ceil(amount / WIDEST), 1] as const;
  const rows = cost.rows && { kept: Math.max(1, Math.ceil(cost.rows.kept)), of: cost.rows.of };
  const buffers = contents.of(step, rows);
  const chosen = new Set(
    Array.from({ length: SAMPLES }, (_, i) => Math.floor((i * (amount - 1)) / Math.max(1, SAMPLES - 1))),
  );
  const followed = [...chosen].map((n) =>
    follow(
      code,
      {
        wave: pipeline.subgroup,
        threads,
        groups,
        group: [n % groups[0], Math.floor(n / groups[0]), 0],
        buffers,
        asksGroups: asksGroups(wgsl),
        numbered: numberedBy(wgsl),
      },
      device.card,
    ),
  );
  const facts = factsOf(pipeline, code);
  return {
    kernel: name,
    tuning,
    workgroups: amount,
    threads: threads[0] * threads[1] * threads[2],
    facts,
    followed,
    estimate: estimate({
      card: device.card,
      followed,
      groups: amount,
      resident: facts.resident,
      cost,
      half,
    }),
  };
}

/** RADV's names. */
function factsOf({ subgroup, compileMs, statistics }: Pipeline, { loops }: Prepared): Facts {
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
    loops: loops.length,
  };
}
