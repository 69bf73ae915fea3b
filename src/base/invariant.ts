// Faults of modc itself, told apart from faults of its user.
import { EXIT, ModcError } from "./errors.js";

/** A fault of modc: never the user's doing. The command line exits with 70. */
export class CompilerBug extends ModcError<"modc-bug"> {
  override readonly name = "CompilerBug";

  constructor(
    /** The message without the word that it is a bug. */
    readonly what: string,
  ) {
    super("modc-bug", `modc bug: ${what}`, { exit: EXIT.bug });
  }
}

/** Where only a fault of modc leads. */
export function bug(what: string): never {
  throw new CompilerBug(what);
}

export function invariant(condition: unknown, what: string): asserts condition {
  if (!condition) bug(what);
}
