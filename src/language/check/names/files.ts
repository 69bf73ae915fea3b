// Reads the root file and its imports, and builds the name table of each file.
import type { SourceFile } from "../../diagnostics/span.js";
import type { Declaration, File, Import, Name } from "../../syntax/ast.js";
import { parse, type Parsed } from "../../syntax/parse.js";
import { Scope } from "../../names/scope.js";
import type { Binding, LoadedFile } from "./bindings.js";
import { ERROR } from "../model/context.js";
import { libraryExports, libraryFile, librarySources } from "./library.js";
import { MAX_DEPTH } from "../model/limits.js";
import type { Checker } from "../model/checker.js";
import { nearest } from "../../../ground/numerics/nearest.js";

/**
 * Returns the text of an imported file by its path relative to the root file's folder; null for a missing file, or the
 * reason for refusing to read it.
 */
export type Read = (path: string) => string | null | { readonly refused: string };

/** How files are read: see `CheckOptions`. */
export interface Reading {
  readonly read: Read;
  readonly nameOf?: (path: string) => string;
  readonly parse?: (source: SourceFile) => Parsed;
}

export interface Files {
  readonly root: LoadedFile;
  /** Every file read, the root first. */
  readonly all: readonly LoadedFile[];
  /** Whether some file had syntax errors. */
  readonly broken: boolean;
}

/**
 * Loads all files. `read` returns the text of a file by its path relative to the root file's folder. Each file is
 * appended to `sources` immediately, the root first, since messages refer to sources even if loading stops at a limit.
 */
export function loadFiles(checker: Checker, source: SourceFile, reading: Reading, sources: SourceFile[]): Files {
  const loader = new Loader(checker, reading, sources);
  const root = loader.load(baseName(source.file), source);
  return { root, all: [...loader.loaded.values()], broken: loader.broken };
}

class Loader {
  readonly loaded = new Map<string, LoadedFile>();
  broken = false;
  /** Files whose imports are being loaded, outermost first; to detect cycles. */
  readonly #open: string[] = [];

  constructor(
    readonly checker: Checker,
    readonly reading: Reading,
    readonly sources: SourceFile[],
  ) {}

  load(path: string, source: SourceFile): LoadedFile {
    this.sources.push(source);
    const { file: tree, diagnostics } = (this.reading.parse ?? parse)(source);
    this.checker.allow(tree.allows);
    for (const d of diagnostics) this.checker.add(d);
    if (diagnostics.some((d) => d.severity === "error")) this.broken = true;
    return this.#link(path, tree, false);
  }

  #loadLibrary(file: string): LoadedFile | null {
    const source = librarySources.get(file);
    const tree = libraryFile(file);
    if (source === undefined || tree === null) return null;
    this.sources.push(source);
    return this.#link(file, tree, true);
  }

  /** Binds the declarations and imports of a file. */
  #link(path: string, tree: File, library: boolean): LoadedFile {
    const table = new Map<string, Binding>();
    const exports = new Map<string, Binding>();
    const file: LoadedFile = { tree, path, library, scope: new Scope(table, null), exports };
    this.loaded.set(keyOf(path, library), file);
    const declare = (name: Name, binding: Binding): boolean => {
      if (table.has(name.text)) {
        this.checker.report("duplicate-name", { name: name.text, where: "in this file" }, name.span);
        return false;
      }
      table.set(name.text, binding);
      return true;
    };
    this.#open.push(keyOf(path, library));
    for (const i of tree.imports) {
      const from = this.#target(file, i);
      for (const name of i.names) declare(name, this.#imported(from, i, name));
    }
    this.#open.pop();
    for (const d of tree.declarations) {
      const binding = bindingOf(d, file);
      if (declare(d.name, binding)) exports.set(d.name.text, binding);
    }
    return file;
  }

  /** The target of an import: a file, the library as a whole, or null after a report. */
  #target(importer: LoadedFile, i: Import): LoadedFile | "library" | null {
    const target = resolveImport(importer.path, i.from);
    if (target.kind === "library") return "library";
    if (target.kind === "refused") {
      this.checker.report("import-path", { path: i.from, reason: target.reason }, i.fromSpan);
      return null;
    }
    const key = keyOf(target.path, importer.library);
    const start = this.#open.indexOf(key);
    if (start !== -1) {
      this.checker.report("import-cycle", { chain: [...this.#open.slice(start), key].map(nameOf) }, i.fromSpan);
      return null;
    }
    const done = this.loaded.get(key);
    if (done !== undefined) return done;
    if (this.#open.length >= MAX_DEPTH)
      this.checker.abort("files that import one another in a row", MAX_DEPTH, i.fromSpan);
    const loaded = importer.library ? this.#loadLibrary(target.path) : this.#loadUser(target.path, i);
    if (loaded === null) this.checker.report("import-not-found", { path: i.from }, i.fromSpan);
    return loaded === "refused" ? null : loaded;
  }

  #loadUser(path: string, i: Import): LoadedFile | "refused" | null {
    const text = this.reading.read(path);
    if (text !== null && typeof text !== "string") {
      this.checker.report("import-path", { path: i.from, reason: text.refused, atFile: true }, i.fromSpan);
      return "refused";
    }
    if (text === null) return null;
    // A user's own folder `std` is not the library: prefix its paths.
    const file = this.reading.nameOf?.(path) ?? (librarySources.has(path) ? `./${path}` : path);
    return this.load(path, { file, text });
  }

  #imported(from: LoadedFile | "library" | null, i: Import, name: Name): Binding {
    const unknown: Binding = { kind: "value", value: ERROR };
    if (from === null) return unknown;
    const names = from === "library" ? libraryExports() : from.exports;
    const file = from === "library" ? this.#declaring(name.text) : from;
    const definition = file?.exports.get(name.text);
    if (definition !== undefined) return definition;
    if (from === "library" || !this.broken) {
      this.checker.report(
        "unknown-export",
        { name: name.text, from: i.from, suggestion: nearest(name.text, names.keys()) },
        name.span,
      );
    }
    return unknown;
  }

  /** The library file that declares a name. */
  #declaring(name: string): LoadedFile | null {
    const file = libraryExports().get(name);
    return file === undefined ? null : (this.loaded.get(keyOf(file, true)) ?? this.#loadLibrary(file));
  }
}

const keyOf = (path: string, library: boolean): string => (library ? `library:${path}` : `user:${path}`);
const nameOf = (key: string): string => key.slice(key.indexOf(":") + 1);

function bindingOf(d: Declaration, file: LoadedFile): Binding {
  return d.kind === "const" ? { kind: "const", decl: d, file } : { kind: "block", block: d, file };
}

type ImportTarget =
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
const baseName = (file: string): string => file.slice(Math.max(file.lastIndexOf("/"), file.lastIndexOf("\\")) + 1);
