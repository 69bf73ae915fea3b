// `modc doc`: the documentation that stands in a file, in the standard library, or of the built-in functions.
import { families } from "../../check/builtins/index.js";
import { compileTimeFunctions } from "../../check/compile-time.js";
import { stdFiles } from "../../embedded.js";
import type { SourceFile } from "../../diagnostics/span.js";
import type { Declaration, Param, ParamKind } from "../../syntax/ast.js";
import { parse } from "../../syntax/parse.js";
import { EXIT, Quit, UserError, type ExitCode } from "../exit.js";
import { readSource } from "../files.js";
import { showDiagnostics } from "../frontend.js";
import { out, outJson } from "../terminal.js";

export interface DocFlags {
  readonly json?: boolean;
}

/** What is documented under a name. */
interface Entry {
  readonly name: string;
  readonly kind: "block" | "model" | "const" | "function";
  readonly signature: string;
  readonly doc: string | null;
  readonly parameters: readonly { readonly name: string; readonly doc: string | null }[];
}

/** `what` is a file, "std", "builtins", or, as a short way, the name of a library block or a function. */
export function doc(what: string | undefined, name: string | undefined, flags: DocFlags): ExitCode {
  const entries = select(entriesOf(what), what, name);
  if (flags.json) outJson(entries);
  else out(entries.map(print).join("\n\n"));
  return EXIT.fine;
}

function entriesOf(what: string | undefined): readonly Entry[] {
  if (what === undefined || what === "std") return libraryEntries();
  if (what === "builtins") return builtinEntries();
  if (what.endsWith(".mod")) return fileEntries(readSource(what));
  const found = [...libraryEntries(), ...builtinEntries()].filter((e) => e.name === what);
  if (found.length === 0)
    throw new UserError(
      `${JSON.stringify(what)} is neither a .mod file nor a block or function of the language`,
      "`modc doc std` and `modc doc builtins` list them",
    );
  return found;
}

function select(entries: readonly Entry[], what: string | undefined, name: string | undefined): readonly Entry[] {
  if (name === undefined) return entries;
  const found = entries.filter((e) => e.name === name);
  if (found.length === 0) throw new UserError(`${what ?? "std"} declares no ${name}`, `it declares ${entries.map((e) => e.name).join(", ") || "nothing"}`);
  return found;
}

const libraryEntries = (): readonly Entry[] => Object.entries(stdFiles).flatMap(([file, text]) => fileEntries({ file: `std/${file}`, text }));

function fileEntries(source: SourceFile): readonly Entry[] {
  const { file, diagnostics } = parse(source);
  if (diagnostics.some((d) => d.severity === "error")) {
    showDiagnostics(diagnostics, [source]);
    throw new Quit(EXIT.user);
  }
  return file.declarations.map((d) => declared(d, source.text));
}

function declared(d: Declaration, text: string): Entry {
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
  return { name: d.name.text, kind, signature: `${kind} ${d.name.text}(${d.params.map((p) => parameter(p, text)).join(", ")})`, doc: d.doc, parameters };
}

const parameter = (p: Param, text: string): string =>
  `${p.live ? "live " : ""}${p.name.text}: ${kindOf(p.type)}${p.default ? ` = ${text.slice(p.default.span.start, p.default.span.end)}` : ""}`;

const kindOf = (kind: ParamKind): string => (kind.kind === "list" ? `[${kindOf(kind.of)}]` : kind.kind);

/** The documentation of a function begins with its signature. */
function builtinEntries(): readonly Entry[] {
  const tensors = [...families.values()].flatMap((family) => [...family].map(([name, { doc: text }]) => functionEntry(name, text, "\n")));
  const numbers = [...compileTimeFunctions].filter(([name]) => !tensors.some((e) => e.name === name)).map(([name, text]) => functionEntry(name, text, ":"));
  return [...tensors, ...numbers];
}

function functionEntry(name: string, text: string, separator: string): Entry {
  const end = text.indexOf(separator);
  const [signature, rest] = end < 0 ? [text, null] : [text.slice(0, end), text.slice(end + 1).trim()];
  return { name, kind: "function", signature, doc: rest, parameters: [] };
}

function print({ signature, doc: text, parameters }: Entry): string {
  const lines = [
    signature,
    ...(text === null
      ? []
      : text
          .trim()
          .split("\n")
          .map((line) => `    ${line}`)),
  ];
  const width = Math.max(0, ...parameters.filter((p) => p.doc !== null).map((p) => p.name.length));
  for (const p of parameters) if (p.doc !== null) lines.push(`      ${p.name.padEnd(width)}  ${p.doc.trim().replaceAll(/\s*\n\s*/g, " ")}`);
  return lines.join("\n");
}
