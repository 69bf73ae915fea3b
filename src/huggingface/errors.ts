// Errors of checkpoint folders: what one of their files says that modc does not know, in one sentence with a hint.

export type CheckpointErrorCode = "bad-config" | "bad-folder" | "bad-option";

/** A fault of a checkpoint's folder, or of what is asked of it. */
export class CheckpointError extends Error {
  override readonly name = "CheckpointError";
  readonly code: CheckpointErrorCode;
  /** How to mend it; null where nothing simple helps. */
  readonly hint: string | null;

  constructor(code: CheckpointErrorCode, message: string, options: { readonly hint?: string | null; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? null;
  }
}
