// Errors of opening a model to generate: what is wrong with it, in one sentence with a hint, or the findings of its source.
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { formatDiagnostics } from "../diagnostics/format.js";
import type { SourceFile } from "../diagnostics/span.js";

/** A model that cannot be opened, or what is asked of its session and it does not have. */
export class SessionError extends Error {
  override readonly name: string = "SessionError";
  /** How to mend it; null where nothing simple helps. */
  readonly hint: string | null;

  constructor(message: string, options: { readonly hint?: string | null; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.hint = options.hint ?? null;
  }
}

/** A source with errors; the message shows them in their places. */
export class SourceError extends SessionError {
  override readonly name = "SourceError";

  constructor(
    readonly diagnostics: readonly Diagnostic[],
    readonly sources: readonly SourceFile[],
  ) {
    super(formatDiagnostics(diagnostics, { sources }));
  }
}
