// Resolves import paths, which are relative to the importing file and must stay inside the root file's folder.

export type ImportTarget =
  | { readonly kind: "library" }
  /** A path relative to the root file's folder, normalised: no `.`, `..` or empty segments. */
  | { readonly kind: "file"; readonly path: string }
  | { readonly kind: "refused"; readonly reason: string };

/** Resolves `from` as written in the file at `importer`, itself a path relative to the root file's folder. */
export function resolveImport(importer: string, from: string): ImportTarget {
  const refused = (reason: string): ImportTarget => ({ kind: "refused", reason });
  if (from === "std") return { kind: "library" };
  if (from.includes("\\")) return refused("a path uses forward slashes");
  if (/[\u0000-\u001f\u007f]/.test(from)) return refused("it holds a control character");
  if (/^[A-Za-z][A-Za-z0-9+.-]*:/.test(from)) return refused("it is an address or names a drive");
  if (from.startsWith("/")) return refused("it is absolute");
  if (!from.startsWith("./") && !from.startsWith("../")) return refused('it starts with neither "./" nor "../"');
  const segments = importer.split("/").slice(0, -1);
  for (const s of from.split("/")) {
    if (s === "" || s === ".") continue;
    if (s !== "..") segments.push(s);
    else if (segments.pop() === undefined) return refused("it leaves the folder of the compiled file");
  }
  if (segments.length === 0 || from.endsWith("/")) return refused("it is a folder");
  return { kind: "file", path: segments.join("/") };
}

/** The last segment of a path: the root file's name for its imports. */
export const baseName = (file: string): string =>
  file.slice(Math.max(file.lastIndexOf("/"), file.lastIndexOf("\\")) + 1);
