// Faults of the compiler itself, told apart from faults of its user.

/** A fault of modc: never the user's doing. The command line exits with 70. */
export class CompilerBug extends Error {
  constructor(what: string) {
    super(`modc bug: ${what}`);
    this.name = "CompilerBug";
  }
}

export function invariant(condition: unknown, what: string): asserts condition {
  if (!condition) throw new CompilerBug(what);
}
