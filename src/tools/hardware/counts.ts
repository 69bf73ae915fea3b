// Reports of Mesa's compiler for Intel GPUs about a program's kernels. All figures are static: the cycles are the
// compiler's guess, which assumes ten iterations of each loop.
import type { Program } from "../../runtime/program/program.js";
import type { Gpu } from "./isa/cards.js";
import { translate, type LabOptions } from "./lab.js";
import type { NullDevice, Pipeline } from "./null-device-node.js";

export interface Counts {
  /** Lanes of a subgroup. */
  readonly width: number;
  readonly instructions: number;
  /** Sends to other units, loads, stores and barriers among them. */
  readonly messages: number;
  readonly cycles: number;
  readonly spills: number;
  readonly fills: number;
  readonly scratchBytes: number;
  /** Live registers of 32 bytes before instruction scheduling. A thread has 128 registers; from Lunar Lake on, 256. */
  readonly liveRegisters: number;
  readonly workgroupBytes: number;
  readonly compileMs: number;
}

export interface CountedRow {
  readonly kernel: string;
  readonly tuning: string;
  readonly workgroups: number;
  readonly counts: Counts;
}

/** One row for each dispatch at these sizes. */
export async function countsOf(
  device: NullDevice<Gpu>,
  program: Program,
  options: LabOptions,
): Promise<readonly CountedRow[]> {
  const { dispatches } = await translate(device, program, options);
  return dispatches.map(({ step, workgroups, pipeline }) => {
    const { name: kernel, tuning } = program.kernels[step.kernel]!;
    return { kernel, tuning, workgroups, counts: countsIn(pipeline) };
  });
}

/** Reads the counts by the names of ANV's statistics. */
export function countsIn({ subgroup, compileMs, statistics }: Pipeline): Counts {
  const of = (name: string): number => {
    const value = statistics[name];
    if (value === undefined) throw new Error(`the driver reports no ${name}`);
    return value;
  };
  return {
    width: subgroup,
    instructions: of("Instruction Count"),
    messages: of("SEND Count"),
    cycles: of("Cycle Count"),
    spills: of("Spill Count"),
    fills: of("Fill Count"),
    scratchBytes: of("Scratch Memory Size"),
    liveRegisters: of("Max live registers"),
    workgroupBytes: of("Workgroup Memory Size"),
    compileMs,
  };
}
