// Chooses the steps that stand in for others in a run: those that a promise allows and, if kernels compile slowly,
// those that avoid compiling a kernel as long as compilation would cost more time than it saves.
import type { RunPromise, StandInCase } from "../program/program.js";
import type { Pipelines } from "./pipelines.js";
import type { SizeIndex } from "./sizes.js";
import { leavePacking } from "../device/held-textures.js";

/** The part of a step that the choice depends on. */
type Step =
  | {
      readonly kind: "dispatch";
      readonly kernel: number;
      readonly standIn: { readonly steps: number; readonly workgroups: SizeIndex; readonly where: StandInCase } | null;
      /**
       * Whether the step packs rows, by `packsRows`. Its `flops` are null, beyond every limit, so that no other step
       * stands in for it alone.
       */
      readonly packs?: boolean;
      readonly flops: SizeIndex | null;
    }
  | { readonly kind: "copy" | "clear"; readonly packs?: never };

type Dispatch = Extract<Step, { kind: "dispatch" }>;

/** A stand-in that was chosen to avoid compiling `kernel`: its operations, and the total after which compiling pays. */
export interface Chosen {
  readonly kernel: number;
  readonly flops: number;
  readonly total: number;
}

export class StandIns {
  readonly #steps: readonly Step[];
  readonly #pipelines: Pick<Pipelines, "fresh">;
  readonly #slow: boolean;
  /** For each kernel that is not compiled yet, the floating-point operations that its stand-ins have done. */
  readonly #spared = new Map<number, number>();

  /** `slow`: the device compiles kernels one after the other, at their first dispatch. */
  constructor(steps: readonly Step[], pipelines: Pick<Pipelines, "fresh">, slow: boolean) {
    this.#steps = steps;
    this.#pipelines = pipelines;
    this.#slow = slow;
  }

  /** Moves the workgroups of steps to their stand-ins. Returns the stand-ins that avoid compiling a kernel. */
  choose(
    values: Float64Array,
    amounts: Float64Array,
    promises: readonly RunPromise[],
    spare = true,
  ): readonly Chosen[] {
    const chosen: Chosen[] = [];
    // A kernel is replaced in a whole run or not at all.
    const sums = new Map<number, number>();
    const running = (step: Step, i: number): step is Dispatch => step.kind === "dispatch" && amounts[i]! > 0;
    this.#steps.forEach((step, i) => {
      if (running(step, i)) sums.set(step.kernel, (sums.get(step.kernel) ?? 0) + flopsOf(step, values));
    });
    const move = (stands: (where: StandInCase, kernel: number, other: Dispatch) => boolean): void =>
      this.#steps.forEach((step, i) => {
        if (step.kind !== "dispatch" || step.standIn === null) return;
        const { steps, workgroups, where } = step.standIn;
        for (let at = i + 1; at <= i + steps; at++) {
          const other = this.#steps[at];
          if (!other || !running(other, at) || !stands(where, step.kernel, other)) continue;
          amounts[at] = 0;
          amounts[i] = values[workgroups]!;
          if (where.kind !== "promised")
            chosen.push({ kernel: other.kernel, flops: flopsOf(other, values), total: where.total });
        }
      });
    const spares = ({ each, total }: Exclude<StandInCase, { kind: "promised" }>, other: Dispatch): boolean =>
      spare &&
      this.#slow &&
      flopsOf(other, values) <= each &&
      this.#spares(other.kernel, sums.get(other.kernel)!, total);
    move((where, _, other) =>
      where.kind === "promised" ? promises.includes(where.promise) : where.kind === "spared" && spares(where, other),
    );
    // The kernels compiled anyway are known only after the other choices.
    const needed = new Set(this.#steps.flatMap((step, i) => (running(step, i) ? [step.kernel] : [])));
    const isThere = (kernel: number): boolean => needed.has(kernel) || this.#pipelines.fresh([kernel]).length === 0;
    move((where, kernel, other) => where.kind === "shared" && isThere(kernel) && spares(where, other));
    leavePacking(this.#steps, amounts);
    return chosen;
  }
  #spares(kernel: number, flops: number, total: number): boolean {
    return (this.#spared.get(kernel) ?? 0) + flops <= total && this.#pipelines.fresh([kernel]).length > 0;
  }

  /** Counts a run with these stand-ins. Returns whether the next run needs a new choice. */
  ran(chosen: readonly Chosen[]): boolean {
    for (const { kernel, flops } of chosen) this.#spared.set(kernel, (this.#spared.get(kernel) ?? 0) + flops);
    return chosen.some(({ kernel, flops, total }) => this.#spared.get(kernel)! + flops > total);
  }
}

const flopsOf = (step: Dispatch, values: Float64Array): number =>
  step.flops === null ? Infinity : values[step.flops]!;
