// Errors of training: what is wrong with the data, the options, a checkpoint or the run itself, in one sentence with a hint.

export type TrainErrorCode = "bad-data" | "bad-option" | "bad-checkpoint" | "bad-log" | "cannot-write" | "diverged";

/** A fault of what the user gave, of the machine's disk, or of the run. */
export class TrainError extends Error {
  override readonly name = "TrainError";
  readonly code: TrainErrorCode;
  /** How to mend it; null where nothing simple helps. */
  readonly hint: string | null;

  constructor(code: TrainErrorCode, message: string, options: { readonly hint?: string | null; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint ?? null;
  }
}
