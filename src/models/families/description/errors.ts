// Errors of checkpoint folders: one sentence about the unsupported content of a file, with a hint.
import { ModcError } from "../../../ground/base/errors.js";

export type CheckpointErrorCode = "bad-config" | "bad-folder" | "bad-option";

/** An error in a checkpoint's folder, or in a request about it. */
export class CheckpointError extends ModcError<CheckpointErrorCode> {
  override readonly name = "CheckpointError";
}
