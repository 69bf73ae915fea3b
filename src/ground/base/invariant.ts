// Errors for bugs of modc, as opposed to the user's faults.
import { EXIT, ModcError } from "./errors.js";

/** A bug of modc, never the user's fault. The command line exits with 70. */
export class CompilerBug extends ModcError<"modc-bug"> {
  override readonly name = "CompilerBug";

  constructor(
    /** The message without the prefix `modc bug`. */
    readonly what: string,
  ) {
    super("modc-bug", `modc bug: ${what}`, { exit: EXIT.bug });
  }
}

/** Throws a CompilerBug; for code that only a bug can reach. */
export function bug(what: string): never {
  throw new CompilerBug(what);
}

export function invariant(condition: unknown, what: string): asserts condition {
  if (!condition) bug(what);
}
