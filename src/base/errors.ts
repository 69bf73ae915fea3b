// Errors that users and callers meet: what kind each is, how a command ends by it, and how to mend it.

/**
 * The status a command exits with. user: the source, inputs or weights are at fault. usage: the command line itself.
 * device: no GPU, or it was lost. check: a verification failed. bug: a fault of modc. interrupted: with what was done
 * so far kept; where nothing is to be kept, the signal itself ends the process.
 */
export const EXIT = { fine: 0, user: 1, usage: 2, device: 3, check: 4, bug: 70, interrupted: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export interface FaultOptions {
  /** How to mend it. */
  readonly hint?: string | null;
  /** How a command ends by it. Default `EXIT.user`. */
  readonly exit?: ExitCode;
  readonly cause?: unknown;
}

/** An error whose message is a sentence. Each class writes its `name` out, for bundlers rename classes. */
export class ModcError<Code extends string = string> extends Error {
  /** What kind of fault it is, for programs: words with hyphens. */
  readonly code: Code;
  /** How a command ends by it. */
  readonly exit: ExitCode;
  /** How to mend it; null where nothing simple helps. */
  readonly hint: string | null;

  constructor(code: Code, message: string, { hint = null, exit = EXIT.user, cause }: FaultOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.exit = exit;
    this.hint = hint;
  }
}
