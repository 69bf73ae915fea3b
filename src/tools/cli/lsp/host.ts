// The file system as the language server sees it: texts of `.mod` files, and files of the library to open.
import { mkdirSync, readdirSync, readFileSync, realpathSync, type Dirent } from "node:fs";
import { createHash } from "node:crypto";
import { dirname, join, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { librarySources } from "../../../language/check/names/library.js";
import { userCache } from "../../../ground/files/cache-node.js";
import { writeWhole } from "../../../ground/files/place-node.js";
import { readRegular } from "../../../ground/files/regular-node.js";
import type { Host } from "../../../language/editor/host.js";
import { canonical } from "../../../language/editor/uris.js";
import type { CliIo } from "../terminal/io.js";

/** Larger than any source; the checker's own limit is below it. */
const MOST_BYTES = 16 * 1024 * 1024;
/** Files of a workspace that are looked through for references and imports. */
const MOST_FILES = 2000;
/** Folders that are looked into for them, the nearest first. */
const MOST_FOLDERS = 5000;
const DEEPEST = 12;
/** How long a list of files counts, in milliseconds. */
const FRESH = 2000;

/** Makes the host of the folders that a client names. `env` says where what can be made again is kept. */
export const hostIn =
  (env: CliIo["env"]): ((folders: readonly string[]) => Host) =>
  (folders) =>
    hostOf(folders, libraryFolder(env));

function hostOf(folders: readonly string[], library: string): Host {
  const roots = folders.flatMap((uri) => pathOf(uri) ?? []);
  const written = new Set<string>();
  let listed: { readonly at: number; readonly files: readonly string[] } | null = null;
  return {
    read: (uri) => {
      const path = pathOf(uri);
      return path === null ? null : textAt(path);
    },
    refusal: (uri, folder) => {
      const [path, root] = [pathOf(uri), pathOf(folder)];
      return path === null || root === null ? null : leaving(path, root);
    },
    files: () => {
      const now = Date.now();
      if (listed === null || now - listed.at > FRESH) listed = { at: now, files: roots.flatMap((r) => modFiles(r)) };
      return listed.files;
    },
    libraryUri: (file) => {
      const path = join(library, ...file.split("/"));
      if (!written.has(path) && !materialised(path, librarySources.get(file)?.text ?? "")) return null;
      written.add(path);
      return uriOf(path);
    },
    libraryFile: (uri) => {
      const path = pathOf(uri);
      if (path === null || !path.startsWith(library + sep)) return null;
      const file = path
        .slice(library.length + 1)
        .split(sep)
        .join("/");
      return librarySources.has(file) ? file : null;
    },
  };
}

/** Null for an address that is no file here. */
function pathOf(uri: string): string | null {
  if (!uri.startsWith("file:")) return null;
  try {
    return fileURLToPath(uri);
  } catch {
    return null;
  }
}

const uriOf = (path: string): string => canonical(pathToFileURL(path).href);

/** The text, in which what is no UTF-8 is a character that the checker refuses; null where there is none. */
function textAt(path: string): string | null {
  try {
    return new TextDecoder("utf-8").decode(readRegular(path, MOST_BYTES, () => new Error("too large")));
  } catch {
    return null;
  }
}

/** Imports whose real path leaves the root file's folder are refused, as `modc check` does. */
function leaving(path: string, folder: string): string | null {
  try {
    const [real, root] = [realpathSync(path), realpathSync(folder)];
    if (real.startsWith(root.endsWith(sep) ? root : root + sep)) return null;
    return `it is a link to ${real}, outside the folder of the compiled file`;
  } catch {
    return null; // there is no such file
  }
}

/** The `.mod` files below a folder, links and hidden folders left out. */
export function modFiles(root: string, mostFolders = MOST_FOLDERS): readonly string[] {
  const found: string[] = [];
  const folders: { readonly folder: string; readonly depth: number }[] = [{ folder: root, depth: 0 }];
  // Folders join the list while it is walked.
  for (const { folder, depth } of folders) {
    if (found.length >= MOST_FILES) break;
    for (const entry of entriesOf(folder)) {
      if (entry.name.startsWith(".") || entry.name === "node_modules") continue;
      const path = join(folder, entry.name);
      if (entry.isFile() && entry.name.endsWith(".mod")) found.push(uriOf(path));
      if (entry.isDirectory() && depth < DEEPEST && folders.length < mostFolders)
        folders.push({ folder: path, depth: depth + 1 });
    }
  }
  return found.slice(0, MOST_FILES);
}

function entriesOf(folder: string): readonly Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

/** A folder of the user's for the library of this version: its files are what this compiler has in it. */
function libraryFolder(env: CliIo["env"]): string {
  const hash = createHash("sha256");
  for (const { file, text } of librarySources.values()) hash.update(`${file}\n${text}\n`);
  return join(userCache(env), `library-${hash.digest("hex").slice(0, 12)}`);
}

/** Writes a file of the library, read-only, unless it exists; false if it cannot be written. */
function materialised(path: string, text: string): boolean {
  try {
    if (readFileSync(path, "utf8") === text) return true;
  } catch {
    // it is not there
  }
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeWhole(path, text);
    return true;
  } catch {
    return false;
  }
}
