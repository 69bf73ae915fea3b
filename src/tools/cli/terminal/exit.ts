// Errors of commands: user errors, and the exit code and text of any error.
import { EXIT, ModcError, type ExitCode } from "../../../ground/base/errors.js";
import { CompilerBug } from "../../../ground/base/invariant.js";

export { EXIT, type ExitCode };

/** A fault of the user's input: one sentence, and a hint. */
export class UserError extends ModcError {
  override readonly name = "UserError";

  constructor(
    message: string,
    hint: string | null = null,
    exit: ExitCode = EXIT.user,
    code = exit === EXIT.usage ? "usage" : "refused",
  ) {
    super(code, message, { hint, exit });
  }
}

/** A fault of the command line itself: the exit code of usage errors. */
export const misuse = (message: string, hint: string | null = null): UserError =>
  new UserError(message, hint, EXIT.usage);

const BUG = "this is a bug in modc, not in your input; set MODC_DEBUG=1 to see where it happened";

/** Exit code, message and hint of an error. An error of an unknown class is a bug of modc. */
export function describeError(error: unknown): Pick<ModcError, "exit" | "code" | "message" | "hint"> {
  const fault =
    error instanceof ModcError
      ? error
      : new CompilerBug((error instanceof Error ? error.message : String(error)).split("\n", 1)[0]!);
  const { exit, code, message, hint } = fault;
  return { exit, code, message, hint: exit === EXIT.bug ? BUG : hint };
}
