// Errors of training: faults of the data, the options, a checkpoint or the run, with a hint.
import { ModcError } from "../../ground/base/errors.js";

export type TrainErrorCode =
  | "bad-data"
  | "no-column"
  | "template-not-a-prefix"
  | "bad-option"
  | "bad-checkpoint"
  | "bad-log"
  | "cannot-write"
  | "diverged";

/** A fault of the user's data or options, of the disk, or of the run. */
export class TrainError extends ModcError<TrainErrorCode> {
  override readonly name = "TrainError";
}
