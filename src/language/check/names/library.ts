// The standard library, parsed once.
import { invariant } from "../../../ground/base/invariant.js";
import { stdFiles } from "../../../ground/embedded.js";
import { parse } from "../../syntax/parse.js";
import type { File } from "../../syntax/ast.js";
import type { SourceFile } from "../../diagnostics/span.js";

const FOLDER = "std/";

/** Sources of the library by file name, as in spans: `std/linear.mod`. */
export const librarySources: ReadonlyMap<string, SourceFile> = new Map(
  Object.entries(stdFiles).map(([name, text]) => [FOLDER + name, { file: FOLDER + name, text }]),
);

const parsed = new Map<string, File>();

/** The tree of a library file; null if there is no such file. */
export function libraryFile(file: string): File | null {
  const source = librarySources.get(file);
  if (source === undefined) return null;
  let tree = parsed.get(file);
  if (tree === undefined) {
    const result = parse(source);
    invariant(result.diagnostics.length === 0, `${file} does not parse: ${result.diagnostics[0]?.message}`);
    tree = result.file;
    parsed.set(file, tree);
  }
  return tree;
}

let exportsOf: ReadonlyMap<string, string> | null = null;

/** Every name that `"std"` exports, with the file that declares it. */
export function libraryExports(): ReadonlyMap<string, string> {
  if (exportsOf === null) {
    const names = new Map<string, string>();
    for (const file of librarySources.keys())
      for (const d of libraryFile(file)?.declarations ?? []) {
        invariant(!names.has(d.name.text), `the library declares ${d.name.text} twice`);
        names.set(d.name.text, file);
      }
    exportsOf = names;
  }
  return exportsOf;
}
