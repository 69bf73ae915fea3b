// How records fill the inputs of an objective, and the words of an input in the cache.
import type { Model } from "../../language/check/model/model.js";
import {
  recordInputs,
  Unfillable,
  type RecordInput,
  type RecordPlan,
} from "../../language/check/model/record-inputs.js";
import { TrainError } from "./errors.js";

export type { RecordInput, RecordPlan };

/** The plan for a model's inputs. Throws TrainError for an input that no column can fill. */
export function recordPlan(model: Pick<Model, "name" | "inputs" | "axes">): RecordPlan {
  try {
    return recordInputs(model);
  } catch (cause) {
    if (!(cause instanceof Unfillable)) throw cause;
    throw new TrainError("bad-option", `records cannot fill the objective of ${model.name}: ${cause.message}`, {
      hint: cause.hint,
      cause,
    });
  }
}

/** Words that an input takes in the cache, of a record with these lengths along the axes of the plan. */
export const wordsOf = (input: RecordInput, lengths: ArrayLike<number>): number =>
  input.kind === "document" ? 0 : input.kind === "record" ? product(input.shape) : eachOf(input) * lengths[input.axis]!;

/** Values of an input for a token, or for a record if it does not lie along an axis. */
export const eachOf = (input: RecordInput): number =>
  input.kind === "along" ? product(input.inner) : input.kind === "record" ? product(input.shape) : 1;

export const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
