// The base class of all errors shown to users and callers: code, exit status and hint.

/**
 * The exit status of a command. user: the source, inputs or weights are at fault. usage: the command line itself is.
 * device: there is no GPU, or it was lost. check: a verification failed. bug: a bug of modc. interrupted: stopped, with
 * partial results saved; a command that saves nothing is ended by the signal itself.
 */
export const EXIT = { fine: 0, user: 1, usage: 2, device: 3, check: 4, bug: 70, interrupted: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export interface FaultOptions {
  /** How to fix the error. */
  readonly hint?: string | null;
  /** Exit status of a command that fails with the error. Default `EXIT.user`. */
  readonly exit?: ExitCode;
  readonly cause?: unknown;
}

/** An error whose message is a sentence. Each subclass sets `name` as a literal, because bundlers rename classes. */
export class ModcError<Code extends string = string> extends Error {
  /** The kind of the error, for programs: words with hyphens. */
  readonly code: Code;
  /** Exit status of a command that fails with the error. */
  readonly exit: ExitCode;
  /** How to fix the error; null if there is no simple fix. */
  readonly hint: string | null;

  constructor(code: Code, message: string, { hint = null, exit = EXIT.user, cause }: FaultOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.exit = exit;
    this.hint = hint;
  }
}
