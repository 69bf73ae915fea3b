// Addresses of files, which clients write in different ways.

/** The address by which a file is known here: `file:///a%3A/b` and `file:///a:/b` are one. */
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

/** An address that cannot be decoded is taken as it stands. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

const encoded = (part: string): string => encodeURIComponent(part).replaceAll("%3A", ":");

/** The address of the folder of a file, with a slash at its end. */
export const folderOf = (uri: string): string => uri.slice(0, uri.lastIndexOf("/") + 1);

/** The address of a path, which has no `.` and `..`, in a folder. */
export const inFolder = (folder: string, path: string): string => folder + path.split("/").map(encoded).join("/");

/** The last part of an address, as a name. */
export const nameOf = (uri: string): string => decoded(uri.slice(uri.lastIndexOf("/") + 1));

/** The address that a relative path leads to from a file; null where it leaves the root or is none. */
export function resolved(uri: string, path: string): string | null {
  if (!/^\.\.?\//.test(path) || path.includes("\\")) return null;
  const parts = folderOf(uri).split("/").slice(0, -1);
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(encoded(part));
    else if (parts.length <= 3) return null;
    else parts.pop();
  }
  return parts.join("/");
}

/** How a file is imported from another: a relative path; null across schemes. */
export function relativePath(from: string, to: string): string | null {
  const a = folderOf(from).split("/").slice(0, -1);
  const b = to.split("/");
  if (a[0] !== b[0]) return null;
  let same = 0;
  while (same < a.length && same < b.length - 1 && a[same] === b[same]) same++;
  const ups = a.length - same;
  return `${ups === 0 ? "./" : "../".repeat(ups)}${b.slice(same).map(decoded).join("/")}`;
}
