// What can be wrong with a built package beside what can be wrong with any session.
import { ModcError, type FaultOptions } from "../base/errors.js";

export type PackageErrorCode = "corrupted" | "download-failed" | "bad-package";

/** A file of a built package is not what it was, cannot be had, or is none of a package's. */
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
