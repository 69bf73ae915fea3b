// The error for a model, or a part of one, that has no form in PyTorch yet.
import { ModcError } from "../../ground/base/errors.js";
import type { Span } from "../../language/diagnostics/span.js";

/** What the export refuses, by name: it never leaves a part out. */
export class ExportError extends ModcError<"export"> {
  override readonly name = "ExportError";

  constructor(
    message: string,
    hint: string | null = null,
    /** Where the source says it. */
    readonly span: Span | null = null,
  ) {
    super("export", message, { hint });
  }
}

/** Something of a model: the path of a call or weight, or a value with its place in the source. */
export type Place = string | { readonly path: string; readonly span: Span };

/** The place of an input of the whole model; none for a model without inputs. */
export const placeOf = (input: { readonly span: Span } | undefined): Place =>
  input === undefined ? "" : { path: "", span: input.span };

/** Throws ExportError: `what`, of the block at a place, cannot be exported. `hint`: how the source may say it instead. */
export function refuse(what: string, place: Place, hint: string | null = null): never {
  const { path, span } = typeof place === "string" ? { path: place, span: null } : place;
  // Calls of one block are numbered; the source has no such numbers.
  const block = path.replaceAll(/#\d+/g, "");
  throw new ExportError(`${what}${block === "" ? "" : ` (in ${block})`} has no form in PyTorch yet`, hint, span);
}

/** What `work` returns; an ExportError that it throws gets the line of the source. */
export function inSource<T>(lineOf: (span: Span) => string, work: () => T): T {
  try {
    return work();
  } catch (fault) {
    if (!(fault instanceof ExportError) || fault.span === null) throw fault;
    throw new ExportError(`${fault.message}: ${lineOf(fault.span)}`, fault.hint, null);
  }
}
