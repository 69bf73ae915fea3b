// Prevents a program with trainable weights from being loaded without weights by mistake. Packages omit this file.
import type { Program } from "../program/program.js";
import { WeightsError } from "../device/errors.js";
import type { LoadOptions } from "./session.js";

/**
 * Throws WeightsError unless an option shows that weights are meant to start untrained. A mistyped variable is
 * undefined, and an untrained model would run without complaint.
 */
export function expectWeights({ model, weights }: Program, { seed, statesOf, weightsOf }: LoadOptions): void {
  if (seed !== undefined || statesOf !== undefined || weightsOf !== undefined) return;
  const learned = weights.filter(({ init }) => init.kind !== "ones" && init.kind !== "zeros").length;
  if (learned === 0) return;
  throw new WeightsError(`${model} has trained weights (${learned}), but no weights are given`, {
    hint: "give them, or start from random ones: load(program, device, undefined, { seed: 0 })",
  });
}
