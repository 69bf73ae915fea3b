// Errors of sessions: what is wrong with a model, in one sentence with a hint, or the diagnostics of its source.
import { ModcError, type FaultOptions } from "../../ground/base/errors.js";
import type { Diagnostic } from "./diagnostic.js";
import { formatDiagnostics } from "./format.js";
import type { SourceFile } from "./span.js";

/** A model that cannot be opened, or an unsupported request to its session. */
export class SessionError extends ModcError<"session" | "source"> {
  override readonly name: string = "SessionError";

  constructor(
    message: string,
    { code = "session", ...options }: FaultOptions & { readonly code?: SessionError["code"] } = {},
  ) {
    super(code, message, options);
  }
}

/** A source with errors; the message contains the formatted diagnostics. */
export class SourceError extends SessionError {
  override readonly name = "SourceError";

  constructor(
    readonly diagnostics: readonly Diagnostic[],
    readonly sources: readonly SourceFile[],
  ) {
    super(formatDiagnostics(diagnostics, { sources }), { code: "source" });
  }
}
