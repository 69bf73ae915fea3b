// The error for models and operations that the export does not support.
import { ModcError } from "../../ground/base/errors.js";
import type { Span } from "../../language/diagnostics/span.js";

/** Names the unsupported part; the export never leaves a part out silently. */
export class ExportError extends ModcError<"export"> {
  override readonly name = "ExportError";

  constructor(
    message: string,
    hint: string | null = null,
    /** The source span of the unsupported part. */
    readonly span: Span | null = null,
  ) {
    super("export", message, { hint });
  }
}

/** A place in a model: the path of a call or weight, or a value's path and source span. */
export type Place = string | { readonly path: string; readonly span: Span };

/** The place of a model input; empty for a model without inputs. */
export const placeOf = (input: { readonly span: Span } | undefined): Place =>
  input === undefined ? "" : { path: "", span: input.span };

/** Throws ExportError: `what`, in the block at `place`, cannot be exported. `hint` tells how to rewrite the source. */
export function refuse(what: string, place: Place, hint: string | null = null): never {
  const { path, span } = typeof place === "string" ? { path: place, span: null } : place;
  // Repeated calls of one block are numbered internally; the source has no such numbers.
  const block = path.replaceAll(/#\d+/g, "");
  throw new ExportError(`${what}${block === "" ? "" : ` (in ${block})`} has no form in PyTorch yet`, hint, span);
}

/** Returns the result of `work`. An ExportError gets the source line appended to its message. */
export function inSource<T>(lineOf: (span: Span) => string, work: () => T): T {
  try {
    return work();
  } catch (fault) {
    if (!(fault instanceof ExportError) || fault.span === null) throw fault;
    throw new ExportError(`${fault.message}: ${lineOf(fault.span)}`, fault.hint, null);
  }
}
