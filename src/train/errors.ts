// Errors of training: what is wrong with the data, the options, a checkpoint or the run itself, in one sentence with a
// hint.
import { ModcError } from "../base/errors.js";

export type TrainErrorCode = "bad-data" | "bad-option" | "bad-checkpoint" | "bad-log" | "cannot-write" | "diverged";

/** A fault of what the user gave, of the machine's disk, or of the run. */
export class TrainError extends ModcError<TrainErrorCode> {
  override readonly name = "TrainError";
}
