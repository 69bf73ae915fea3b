// Weights for trials of a model that has none: random ones under which every part of it shows in the results.
import type { ProgramWeight } from "../program/program.js";
import { initialValues } from "../runtime/index.js";
import type { Weights } from "./machine.js";

/**
 * Starting values are made to begin a training quietly: some are zeros, behind which no fault could be seen. These are
 * normal, matrices such that they keep the size of what they are multiplied with, what begins as ones around 1. The
 * same for the same seed.
 */
export const nonDegenerateWeights = (weights: readonly ProgramWeight[], seed: number): Weights =>
  new Map(
    weights.map((weight) => {
      const { path, shape, init } = weight;
      const inner = Math.min(...shape.slice(-2));
      const std = shape.length < 2 ? 0.2 : 1 / Math.sqrt(Math.max(1, inner));
      const data = initialValues({ ...weight, init: { kind: "normal", std } }, seed);
      return [path, { shape, data: init.kind === "ones" ? data.map((v) => 1 + v) : data }] as const;
    }),
  );
