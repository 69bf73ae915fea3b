// The error for a model, or a part of one, that has no form in PyTorch yet.
import { ModcError } from "../base/errors.js";

/** What the export refuses, by name: it never leaves a part out. */
export class ExportError extends ModcError<"export"> {
  override readonly name = "ExportError";

  constructor(message: string, hint: string | null = null) {
    super("export", message, { hint });
  }
}

/** Throws ExportError: `what`, of the block at `path`, cannot be exported. */
export function refuse(what: string, path: string): never {
  throw new ExportError(`${what}${path === "" ? "" : ` (in ${path})`} has no form in PyTorch yet`);
}
