// Steps that run in some cases alone: for some numbers of rows, or in place of a step that is still being compiled.
import type { StandInCase } from "../../../runtime/program/program.js";
import { rational } from "../../../ground/numerics/rational.js";
import { applySize, multiplySizes, sizeOf, subtractSizes, type Size } from "../../../ground/size/size.js";
import type { Extents } from "../analysis/extents.js";
import type { Step } from "../plan/plan.js";
import type { Operand } from "./spec.js";

/** The step, with no workgroups unless low < rows ≤ high: the runtime skips it there. */
export function whereRows(
  extents: Extents,
  step: Step<Operand>,
  rows: Size,
  low: number,
  high: number | null,
): Step<Operand> {
  if (step.kind !== "dispatch") return step;
  // floor(min(rows, n) / n): 1 where there are n rows or more, else 0.
  const atLeast = (n: number): Size =>
    applySize("floor", [multiplySizes(sizeOf(rational(1, n)), applySize("min", [rows, n]))]);
  const factor = subtractSizes(low === 0 ? 1 : atLeast(low + 1), high === null ? 0 : atLeast(high + 1));
  return { ...step, workgroups: extents.times(step.workgroups, factor) };
}

/**
 * The step as a stand-in for one of the next `steps` steps. `workgroups`: those it runs in any case, by default none.
 */
export const standingIn = (
  step: Step<Operand>,
  steps: number,
  where: StandInCase,
  workgroups: Size = 0,
): Step<Operand> =>
  step.kind === "dispatch" ? { ...step, workgroups, standIn: { steps, workgroups: step.workgroups, where } } : step;
