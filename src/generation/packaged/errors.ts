// Errors of built packages.
import { ModcError, type FaultOptions } from "../../ground/base/errors.js";

export type PackageErrorCode = "corrupted" | "download-failed" | "bad-package" | "worker-ended";

/** A file of a built package is corrupted, cannot be downloaded, is not valid, or ends as a worker. */
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
