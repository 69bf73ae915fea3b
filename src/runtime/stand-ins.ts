// Which steps stand in for others in a run: those that are promised to do, and, where kernels are compiled slowly, those that spare a kernel its compilation as long as that
// would take longer than it gains.
import type { RunPromise, StandInCase } from "../program/program.js";
import type { Pipelines } from "./pipelines.js";
import type { SizeIndex } from "./sizes.js";

/** What is to be known of a step. */
type Step =
  | {
      readonly kind: "dispatch";
      readonly kernel: number;
      readonly standIn: { readonly steps: number; readonly workgroups: SizeIndex; readonly where: StandInCase } | null;
      readonly flops: SizeIndex | null;
    }
  | { readonly kind: "copy" | "clear" };

/** One step in place of another. */
export interface Chosen {
  readonly kernel: number;
  readonly flops: number;
  readonly total: number;
}

export class StandIns {
  readonly #steps: readonly Step[];
  readonly #pipelines: Pick<Pipelines, "fresh">;
  readonly #slow: boolean;
  /** Of each kernel that was spared so far, the floating-point operations that others did for it. */
  readonly #spared = new Map<number, number>();

  /** `slow`: kernels are compiled one after the other, when they are first dispatched. */
  constructor(steps: readonly Step[], pipelines: Pick<Pipelines, "fresh">, slow: boolean) {
    this.#steps = steps;
    this.#pipelines = pipelines;
    this.#slow = slow;
  }

  /** Moves workgroups of steps to those that stand in for them; which spare a kernel. */
  choose(values: Float64Array, amounts: Float64Array, promises: readonly RunPromise[], spare = true): readonly Chosen[] {
    const chosen: Chosen[] = [];
    // A kernel is spared in a whole run or not at all.
    const sums = new Map<number, number>();
    this.#steps.forEach((step, i) => {
      if (step.kind === "dispatch" && amounts[i]! > 0) sums.set(step.kernel, (sums.get(step.kernel) ?? 0) + flopsOf(step, values));
    });
    this.#steps.forEach((step, i) => {
      if (step.kind !== "dispatch" || step.standIn === null) return;
      const { steps, workgroups, where } = step.standIn;
      for (let at = i + 1; at <= i + steps; at++) {
        const other = this.#steps[at];
        if (other?.kind !== "dispatch" || amounts[at] === 0) continue;
        const flops = flopsOf(other, values);
        const stands =
          where.kind === "promised"
            ? promises.includes(where.promise)
            : spare && this.#slow && flops <= where.each && this.#spares(other.kernel, sums.get(other.kernel)!, where.total);
        if (!stands) continue;
        amounts[at] = 0;
        amounts[i] = values[workgroups]!;
        if (where.kind === "spared") chosen.push({ kernel: other.kernel, flops, total: where.total });
      }
    });
    return chosen;
  }
  #spares(kernel: number, flops: number, total: number): boolean {
    return (this.#spared.get(kernel) ?? 0) + flops <= total && this.#pipelines.fresh([kernel]).length > 0;
  }

  /** Counts a run in which these were chosen; whether the next one is to be chosen for anew. */
  ran(chosen: readonly Chosen[]): boolean {
    for (const { kernel, flops } of chosen) this.#spared.set(kernel, (this.#spared.get(kernel) ?? 0) + flops);
    return chosen.some(({ kernel, flops, total }) => this.#spared.get(kernel)! + flops > total);
  }
}

const flopsOf = (step: Extract<Step, { kind: "dispatch" }>, values: Float64Array): number => (step.flops === null ? Infinity : values[step.flops]!);
