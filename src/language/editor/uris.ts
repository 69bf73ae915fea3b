// File URIs, which clients may spell in different ways.

/** The canonical spelling of a URI: `file:///a%3A/b` and `file:///a:/b` are the same file. */
export function canonical(uri: string): string {
  const at = uri.indexOf(":");
  const scheme = uri.slice(0, at + 1);
  return (
    scheme +
    uri
      .slice(at + 1)
      .split("/")
      .map((part) => encoded(decoded(part)))
      .join("/")
  );
}

/** A part that cannot be decoded is left unchanged. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const encoded = (part: string): string => encodeURIComponent(part).replaceAll("%3A", ":");

/** The URI of a file's folder, with a trailing slash. */
export const parentOf = (uri: string): string => uri.slice(0, uri.lastIndexOf("/") + 1);

/** The URI of a path in a folder. The path must not contain `.` or `..`. */
export const inFolder = (folder: string, path: string): string => folder + path.split("/").map(encoded).join("/");

/** The last part of a URI, as a name. */
export const nameOf = (uri: string): string => decoded(uri.slice(uri.lastIndexOf("/") + 1));

/** The URI that a relative path refers to, seen from a file; null if the path leaves the root or is not relative. */
export function resolved(uri: string, path: string): string | null {
  if (!/^\.\.?\//.test(path) || path.includes("\\")) return null;
  const parts = parentOf(uri).split("/").slice(0, -1);
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(encoded(part));
    else if (parts.length <= 3) return null;
    else parts.pop();
  }
  return parts.join("/");
}

/** The import path from one file to another: a relative path; null across schemes. */
export function relativePath(from: string, to: string): string | null {
  const a = parentOf(from).split("/").slice(0, -1);
  const b = to.split("/");
  if (a[0] !== b[0]) return null;
  let same = 0;
  while (same < a.length && same < b.length - 1 && a[same] === b[same]) same++;
  const ups = a.length - same;
  return `${ups === 0 ? "./" : "../".repeat(ups)}${b.slice(same).map(decoded).join("/")}`;
}
