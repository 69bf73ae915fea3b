// File system error codes, as text.

/** The code for a path that is neither a regular file nor a folder, such as a device or a pipe; not a system code. */
export const NOT_REGULAR = "ENOTREGULAR";

const REASONS: ReadonlyMap<string, string> = new Map([
  ["ENOENT", "there is no such file"],
  ["EACCES", "permission denied"],
  ["EPERM", "permission denied"],
  ["EISDIR", "it is a folder"],
  ["ENOTDIR", "its folder is not one"],
  [NOT_REGULAR, "it is not a regular file"],
  ["EEXIST", "a file of that name is in the way"],
  ["ENOSPC", "the disk is full"],
  ["EDQUOT", "the disk quota is used up"],
  ["EFBIG", "the file would be larger than is allowed"],
  ["EROFS", "the disk is read-only"],
  ["EIO", "the disk failed"],
  ["ELOOP", "too many links"],
  ["ENAMETOOLONG", "the name is too long"],
  ["EADDRNOTAVAIL", "it is not an address of this machine"],
  ["EPIPE", "nobody reads it any more"],
]);

/** The code of a file system error, such as ENOENT; null for other errors. */
export function errnoOf(cause: unknown): string | null {
  const code = cause instanceof Error && "code" in cause ? cause.code : null;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : null;
}

/** Describes a code in words; `own` overrides the description of some codes. */
export const reasonOf = (code: string, own: Readonly<Record<string, string>> = {}): string =>
  own[code] ?? REASONS.get(code) ?? code;
