// Random weights for testing a model without a checkpoint. With them, every part of the model affects the results.
import type { ProgramWeight } from "../../runtime/program/program.js";
import { initialValues } from "../../runtime/index.js";
import type { Weights } from "./machine.js";

/**
 * Initial values for training include zeros, which would hide faults. These weights are normally distributed: matrices
 * are scaled to keep the magnitude of activations, weights that training initializes with ones are around 1. Equal
 * seeds give equal weights.
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
