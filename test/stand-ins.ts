// Programs that always use stand-in steps, or never, so that tests run both.
import type { Program, ProgramStep } from "../src/runtime/program/program.js";

/**
 * The steps that stand in for others: none; all, the first one if there are several; or only steps that never run
 * otherwise.
 */
export const STAND_INS = ["none", "all", "others"] as const;

/**
 * The program whose steps stand in for others so in every run that is promised to be greedy, whatever the device and
 * the sizes.
 */
export function standingIn(program: Program, which: (typeof STAND_INS)[number]): Program {
  const changed = (step: ProgramStep): ProgramStep => {
    if (step.kind !== "dispatch" || !step.standIn) return step;
    const { standIn, ...own } = step;
    const stands = which === "all" || (which === "others" && step.workgroups === 0);
    return stands ? { ...own, standIn: { ...standIn, where: { kind: "promised", promise: "greedy" } } } : own;
  };
  return { ...program, steps: program.steps.map(changed) };
}
