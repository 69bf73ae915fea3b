// A model under training by one peer.
import { transposed } from "../peers/blocks.js";
import type { Sent } from "../protocol.js";
import { isTransposed } from "./decoder.js";
import type { Standing, TrainData } from "./protocol.js";

export interface Trainee {
  /**
   * Trains for `count` more steps, submitted one after the other, and waits once, for the last. Returns each step's
   * loss.
   */
  steps(count: number): Promise<readonly number[]>;
  standing(): Promise<Standing>;
  dispose(): Promise<void>;
}

export type MakeTrainee = (data: TrainData) => Promise<Trainee>;

/** 1 − beta^t of both moments, t the number of the step from 1. */
export const corrections = ({ settings: { beta1, beta2 } }: TrainData, step: number): readonly [number, number] => [
  1 - beta1 ** step,
  1 - beta2 ** step,
];

/** As a peer holds it. */
export const held = (path: string, sent: Sent): { readonly shape: readonly number[]; readonly data: Float32Array } =>
  isTransposed(path, sent.shape) ? transposed(sent) : { shape: sent.shape, data: Float32Array.from(sent.data) };

/** Converts values from a peer's layout to modc's. */
export function stored(path: string, shape: readonly number[], data: Float32Array): Float32Array {
  return isTransposed(path, shape) ? transposed({ shape: [shape[1]!, shape[0]!], data }).data : data;
}
