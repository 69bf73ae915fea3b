// Loads the other programs of a trainer, which share the states of the step.
import type { Program } from "../../runtime/program/program.js";
import { load, type LoadOptions, type Session, type WeightsInput } from "../../runtime/index.js";
import { sharedWeightSlots } from "../../runtime/steps/shared-weights.js";

/**
 * Loads a program that shares the states and weights of the step. A weight that the program stores differently, such as
 * in another layout, is loaded again.
 */
export function loadBeside(
  step: Session,
  program: Program,
  weights: WeightsInput | undefined,
  own: LoadOptions,
): Promise<Session> {
  const shared = sharedWeightSlots(program, step.program);
  const reads = program.weights.some(({ slots }) => slots.some(({ slot }) => !shared.has(slot)));
  return load(program, step.device, reads ? weights : undefined, { ...own, statesOf: step, weightsOf: step });
}
