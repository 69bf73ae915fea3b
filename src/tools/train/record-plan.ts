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

/** Words of a record of `length` tokens that an input takes in the cache. */
export const wordsOf = (input: RecordInput, length: number): number =>
  input.kind === "along"
    ? length * product(input.inner)
    : input.kind === "record"
      ? product(input.shape)
      : input.kind === "document"
        ? 0
        : length;

export const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
