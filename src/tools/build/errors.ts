// The error for a folder that cannot be written.
import { ModcError, type FaultOptions } from "../../ground/base/errors.js";

/** The folder cannot be written, or holds files that would be lost. */
export class FolderError extends ModcError<"cannot-write"> {
  override readonly name = "FolderError";

  constructor(message: string, options: FaultOptions = {}) {
    super("cannot-write", message, options);
  }
}
