// `modc doc`: the documentation that stands in a file, in the standard library, or of the built-in functions.
import { type Documented, documentedIn, functionDocs, libraryDocs } from "../../check/documented.js";
import type { SourceFile } from "../../diagnostics/span.js";
import { parse } from "../../syntax/parse.js";
import { EXIT, Quit, UserError, type ExitCode } from "../exit.js";
import { readSource } from "../files.js";
import { showDiagnostics } from "../frontend.js";
import { out, outJson } from "../terminal.js";

export interface DocFlags {
  readonly json?: boolean;
}

/** `what` is a file, "std", "builtins", or, as a short way, the name of a library block or a function. */
export function doc(what: string | undefined, name: string | undefined, flags: DocFlags): ExitCode {
  const entries = select(entriesOf(what), what, name);
  if (flags.json) outJson(entries);
  else out(entries.map(print).join("\n\n"));
  return EXIT.fine;
}

function entriesOf(what: string | undefined): readonly Documented[] {
  if (what === undefined || what === "std") return libraryDocs();
  if (what === "builtins") return functionDocs();
  if (what.endsWith(".mod")) return fileEntries(readSource(what));
  const found = [...libraryDocs(), ...functionDocs()].filter((e) => e.name === what);
  if (found.length === 0)
    throw new UserError(
      `${JSON.stringify(what)} is neither a .mod file nor a block or function of the language`,
      "`modc doc std` and `modc doc builtins` list them",
    );
  return found;
}

function select(entries: readonly Documented[], what: string | undefined, name: string | undefined): readonly Documented[] {
  if (name === undefined) return entries;
  const found = entries.filter((e) => e.name === name);
  if (found.length === 0) throw new UserError(`${what ?? "std"} declares no ${name}`, `it declares ${entries.map((e) => e.name).join(", ") || "nothing"}`);
  return found;
}

function fileEntries(source: SourceFile): readonly Documented[] {
  const { file, diagnostics } = parse(source);
  if (diagnostics.some((d) => d.severity === "error")) {
    showDiagnostics(diagnostics, [source]);
    throw new Quit(EXIT.user);
  }
  return documentedIn(file, source.text);
}

function print({ signature, doc: text, parameters }: Documented): string {
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
