// A workload to measure: a small graph with its expected results, and a program that computes it once or many times in
// a run.
import { emit } from "../../compiler/codegen/emit.js";
import type { Graph } from "../../compiler/ir/graph.js";
import type { Program, ProgramWeight } from "../../runtime/program/program.js";
import type { Precision, Target } from "../../runtime/program/target.js";
import type { Inputs, Results } from "../../runtime/index.js";
import type { Pause } from "../../runtime/weights/in-turns.js";
import type { Words } from "../../ground/base/dtype.js";
import { mapStep, type Plan, type PlanStep } from "../../compiler/schedule/plan/plan.js";
import { schedule } from "../../compiler/schedule/schedule.js";
import type { Tunings } from "../../compiler/schedule/tunings/index.js";
import { normalOf, philox } from "../../ground/numerics/philox.js";

export interface Workload {
  /** `product 512 × 2048` */
  readonly name: string;
  /** The tunings that choose its kernels. */
  readonly family: "attention" | "products";
  readonly graph: Graph;
  /** The numbers of rows or tokens to measure, in increasing order. */
  readonly sizes: readonly number[];
  /** The unit of a size: `rows`. */
  readonly counts: string;
  /** The types in which values are stored and computed. */
  readonly precision: Precision;
  /** Whether the results have the same bits with all tunings. */
  readonly sameBits: boolean;
  /** Operations of one computation at a size; null if they cannot be counted. */
  readonly flops: (size: number) => number | null;
  /** Bytes that one computation reads and writes at a size, each once. */
  readonly bytes: (size: number) => number;
  readonly weights: (weight: ProgramWeight) => Words;
  readonly inputs: (size: number) => Inputs;
  /**
   * Computes inputs and expected results in advance, with pauses: large ones take the host long. Without this call,
   * they are computed at first use, without pauses.
   */
  readonly prepare: (pause: Pause) => Promise<void>;
  /**
   * The fault of the results at a size, as a clause; null if they are correct. Results are keyed by the names of the
   * graph's outputs.
   */
  readonly faultOf: (results: Results, size: number) => string | null;
}

/** The numbers of times that one run can compute the graph. */
export const REPEATS = [1, 4, 16, 64, 256] as const;

/** The name of the output `name` when a run computes it `times` times. */
export const repeatedName = (name: string, times: number): string => (times === 1 ? name : `${name} × ${times}`);

/**
 * A program whose outputs are computed once and, under further names (`repeatedName`), many times. A run executes only
 * the steps that the requested outputs need.
 */
export function repeatedProgram({ graph, precision }: Workload, target: Target, tunings: Tunings): Program {
  const plan = schedule(graph, target, tunings, precision);
  const slots = [...plan.slots];
  const steps = [...plan.steps];
  const outputs = [...plan.outputs];
  const named = [...graph.outputs];
  for (const times of REPEATS.slice(1)) {
    const results = new Set(plan.outputs.flatMap((o) => [o.slot, ...o.parts.map((p) => p.slot)]));
    const copied = new Map([...results].map((slot) => [slot, slots.push(plan.slots[slot]!) - 1]));
    const copies = plan.steps.map((step): PlanStep => ({
      ...mapStep(step, (slot) => copied.get(slot) ?? slot),
      origin: step.origin,
      nodes: step.nodes,
    }));
    for (let i = 0; i < times; i++) steps.push(...copies);
    plan.outputs.forEach((o, i) => {
      outputs.push({
        ...o,
        slot: copied.get(o.slot)!,
        parts: o.parts.map((p) => ({ ...p, slot: copied.get(p.slot)! })),
      });
      named.push({ ...graph.outputs[i]!, name: repeatedName(graph.outputs[i]!.name, times) });
    });
  }
  return emit({ ...plan, slots, steps, outputs, graph: { ...graph, outputs: named } } satisfies Plan);
}

/** Second word of the key of these random numbers: "tune" in ASCII. */
const TUNE_KEY = 0x74756e65;

const PIECE = 4096;

/** `count` values of one random stream. Yields after each piece. */
export function* normals(count: number, stream: number): Generator<void, Float32Array> {
  const values = new Float32Array(count);
  for (let first = 0; first < count; first += PIECE) {
    const end = Math.min(first + PIECE, count);
    for (let i = first; i < end; i++) values[i] = normalOf(philox([i, 0, stream, 0], [0, TUNE_KEY]));
    yield;
  }
  return values;
}
