// What is measured: a small graph at several sizes, as a program that can compute it once or many times over, and what
// it must give.
import { emit } from "../codegen/emit.js";
import type { Graph } from "../ir/graph.js";
import type { Program, ProgramWeight } from "../program/program.js";
import type { Target } from "../program/target.js";
import type { Inputs, Results } from "../runtime/index.js";
import type { Pause } from "../runtime/turns.js";
import type { Words } from "../base/dtype.js";
import { mapStep, type Plan, type PlanStep } from "../schedule/plan.js";
import { schedule } from "../schedule/schedule.js";
import type { Tunings } from "../schedule/tunings/index.js";

export interface Workload {
  /** `product 512 × 2048` */
  readonly name: string;
  readonly graph: Graph;
  /** Numbers of rows or tokens it is measured at, rising. */
  readonly sizes: readonly number[];
  /** What a size counts: `rows`. */
  readonly counts: string;
  /** Whether all tunings of it promise the same bits. */
  readonly sameBits: boolean;
  /** Operations of one computation of a size; null where there is nothing to count by. */
  readonly flops: (size: number) => number | null;
  readonly weights: (weight: ProgramWeight) => Words;
  readonly inputs: (size: number) => Inputs;
  /**
   * Makes what it is given and must give, which takes the host long where it is large; else that is made at once when
   * it is needed.
   */
  readonly prepare: (pause: Pause) => Promise<void>;
  /** What is wrong with results of a size, by the names of the graph's outputs, as a clause; null where nothing is. */
  readonly faultOf: (results: Results, size: number) => string | null;
}

/** How often a run can compute the graph. */
export const REPEATS = [1, 4, 16, 64, 256] as const;

/** The name of a graph's output that is computed so many times. */
export const repeatedName = (name: string, times: number): string => (times === 1 ? name : `${name} × ${times}`);

/**
 * Computes the graph once for its own outputs, and so many times for each of their further names: only what is asked
 * for is run.
 */
export function repeatedProgram({ graph }: Workload, target: Target, tunings: Tunings): Program {
  const plan = schedule(graph, target, tunings);
  const slots = [...plan.slots];
  const steps = [...plan.steps];
  const outputs = [...plan.outputs];
  const named = [...graph.outputs];
  for (const times of REPEATS.slice(1)) {
    const results = new Set(plan.outputs.flatMap((o) => [o.slot, ...o.parts.map((p) => p.slot)]));
    const own = new Map([...results].map((slot) => [slot, slots.push(plan.slots[slot]!) - 1]));
    const copies = plan.steps.map((step): PlanStep => ({
      ...mapStep(step, (slot) => own.get(slot) ?? slot),
      origin: step.origin,
      nodes: step.nodes,
    }));
    for (let i = 0; i < times; i++) steps.push(...copies);
    plan.outputs.forEach((o, i) => {
      outputs.push({ ...o, slot: own.get(o.slot)!, parts: o.parts.map((p) => ({ ...p, slot: own.get(p.slot)! })) });
      named.push({ ...graph.outputs[i]!, name: repeatedName(graph.outputs[i]!.name, times) });
    });
  }
  return emit({ ...plan, slots, steps, outputs, graph: { ...graph, outputs: named } } satisfies Plan);
}
