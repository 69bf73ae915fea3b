// Documentation by name: the library's blocks, built-in functions, and the declarations of a file. For `modc doc` and
// editors.
import type { Declaration, File, Param, ParamKind } from "../syntax/ast.js";
import { families } from "./builtins/index.js";
import { compileTimeFunctions } from "./eval/compile-time.js";
import { libraryFile, librarySources } from "./names/library.js";

export interface Documented {
  readonly name: string;
  readonly kind: "block" | "model" | "const" | "function";
  /** Of a built-in function a line for each form of its call. */
  readonly signature: string;
  readonly doc: string | null;
  readonly parameters: readonly { readonly name: string; readonly doc: string | null }[];
}

/** Documentation of all `"std"` exports. */
export const libraryDocs = (): readonly Documented[] =>
  [...librarySources.values()].flatMap(({ file, text }) => {
    const tree = libraryFile(file);
    return tree ? documentedIn(tree, text) : [];
  });

/** Documentation of a file's declarations, from its tree and its text. */
export const documentedIn = (file: File, text: string): readonly Documented[] =>
  file.declarations.map((d) => documentedOf(d, text));

/** Documentation of one declaration. */
export function documentedOf(d: Declaration, text: string): Documented {
  if (d.kind === "const")
    return {
      name: d.name.text,
      kind: "const",
      signature: `const ${d.name.text} = ${text.slice(d.value.span.start, d.value.span.end)}`,
      doc: d.doc,
      parameters: [],
    };
  const kind = d.model ? "model" : "block";
  const parameters = d.params.map((p) => ({ name: p.name.text, doc: p.doc }));
  return {
    name: d.name.text,
    kind,
    signature: `${kind} ${d.name.text}(${d.params.map((p) => parameterText(p, text)).join(", ")})`,
    doc: d.doc,
    parameters,
  };
}

/** The source text of a parameter: `live capacity: ratio = 12.5%`. */
export const parameterText = (p: Param, text: string): string =>
  `${p.live ? "live " : ""}${p.name.text}: ` +
  `${kindOf(p.type)}${p.default ? ` = ${text.slice(p.default.span.start, p.default.span.end)}` : ""}`;

const kindOf = (kind: ParamKind): string => (kind.kind === "list" ? `[${kindOf(kind.of)}]` : kind.kind);

/**
 * Documentation of built-in functions: first functions on tensors, then functions on compile-time values only. Each
 * text begins with the signatures.
 */
export function functionDocs(): readonly Documented[] {
  const tensors = [...families.values()].flatMap((family) =>
    [...family].map(([name, { doc: text }]) => functionEntry(name, text, text.lastIndexOf("\n"))),
  );
  const numbers = [...compileTimeFunctions]
    .filter(([name]) => !tensors.some((e) => e.name === name))
    .map(([name, text]) => functionEntry(name, text, text.indexOf(":")));
  return [...tensors, ...numbers];
}

/** The entry of a text whose signatures end at an offset. */
function functionEntry(name: string, text: string, end: number): Documented {
  const [signature, rest] = end < 0 ? [text, null] : [text.slice(0, end), text.slice(end + 1).trim()];
  return { name, kind: "function", signature, doc: rest, parameters: [] };
}
