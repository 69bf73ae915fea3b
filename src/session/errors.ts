// Errors of opening a model to generate: what is wrong with it, in one sentence with a hint, or the findings of its
// source.
import { ModcError, type FaultOptions } from "../base/errors.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { formatDiagnostics } from "../diagnostics/format.js";
import type { SourceFile } from "../diagnostics/span.js";

/** A model that cannot be opened, or what is asked of its session and it does not have. */
export class SessionError extends ModcError<"session" | "source"> {
  override readonly name: string = "SessionError";

  constructor(
    message: string,
    { code = "session", ...options }: FaultOptions & { readonly code?: SessionError["code"] } = {},
  ) {
    super(code, message, options);
  }
}

/** A source with errors; the message shows them in their places. */
export class SourceError extends SessionError {
  override readonly name = "SourceError";

  constructor(
    readonly diagnostics: readonly Diagnostic[],
    readonly sources: readonly SourceFile[],
  ) {
    super(formatDiagnostics(diagnostics, { sources }), { code: "source" });
  }
}
