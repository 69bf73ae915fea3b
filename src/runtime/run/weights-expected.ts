// A program whose weights are to be learned is not loaded without any by mistake. Packages leave it out.
import type { Program } from "../program/program.js";
import { WeightsError } from "../device/errors.js";
import type { LoadOptions } from "./session.js";

/**
 * Throws WeightsError where nothing says that the weights are to start untrained. The value of a mistyped name is
 * undefined, and a model that has learned nothing runs as well as another.
 */
export function expectWeights({ model, weights }: Program, { seed, statesOf, weightsOf }: LoadOptions): void {
  if (seed !== undefined || statesOf !== undefined || weightsOf !== undefined) return;
  const learned = weights.filter(({ init }) => init.kind !== "ones" && init.kind !== "zeros").length;
  if (learned === 0) return;
  throw new WeightsError(`${model} has weights to be learned (${learned}), and none are given`, {
    hint: "give them; or, to begin with untrained ones, a seed: load(program, device, undefined, { seed: 0 })",
  });
}
