// Errors of checkpoint folders: what one of their files says that modc does not know, in one sentence with a hint.
import { ModcError } from "../base/errors.js";

export type CheckpointErrorCode = "bad-config" | "bad-folder" | "bad-option";

/** A fault of a checkpoint's folder, or of what is asked of it. */
export class CheckpointError extends ModcError<CheckpointErrorCode> {
  override readonly name = "CheckpointError";
}
