// Errors of built packages, beside those of sessions.
import { ModcError, type FaultOptions } from "../base/errors.js";

export type PackageErrorCode = "corrupted" | "download-failed" | "bad-package";

/** A file of a built package is corrupted, cannot be downloaded, or is not valid. */
export class PackageError extends ModcError<PackageErrorCode> {
  override readonly name = "PackageError";

  constructor(
    code: PackageErrorCode,
    /** The file at fault, by its name in the package. */
    readonly file: string,
    message: string,
    options: FaultOptions = {},
  ) {
    super(code, message, options);
  }
}
