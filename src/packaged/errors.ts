// What can be wrong with a built package beside what can be wrong with any session.

export type PackageErrorCode = "corrupted" | "download-failed" | "bad-package";

/** A file of a built package is not what it was, cannot be had, or is none of a package's. */
export class PackageError extends Error {
  override readonly name = "PackageError";
  readonly code: PackageErrorCode;
  /** The file at fault, by its name in the package. */
  readonly file: string;
  /** How to mend it; null where nothing simple helps. */
  readonly hint: string | null;

  constructor(code: PackageErrorCode, file: string, message: string, options: { readonly hint?: string; readonly cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.file = file;
    this.hint = options.hint ?? null;
  }
}
