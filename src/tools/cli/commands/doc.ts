// `modc doc`: prints the documentation of a file, of the standard library, or of the built-in functions.
import { type Documented, documentedIn, functionDocs, libraryDocs } from "../../../language/check/documented.js";
import type { SourceFile } from "../../../language/diagnostics/span.js";
import { parse } from "../../../language/syntax/parse.js";
import { SourceError } from "../../../language/diagnostics/errors.js";
import { didYouMean } from "../tree/usage.js";
import { UserError, type ExitCode } from "../terminal/exit.js";
import { readSource, STDIN } from "../source/files.js";
import { openNamed } from "../source/model-file.js";
import { isHubName } from "../../../models/opened/hub-node.js";
import { isFolder } from "../../../models/tokenizer/folder-node.js";
import { printReport } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { aboutCommands } from "../tree/about.js";

/** `what`: a file, a model's folder, "std", "builtins", or the name of a library block or a function. */
export async function doc(
  what: string | undefined,
  name: string | undefined,
  flags: Flags<typeof aboutCommands.doc>,
): Promise<ExitCode> {
  const entries = select(await entriesOf(what), what, name);
  return printReport(flags, { json: entries, text: entries.map(print).join("\n\n") });
}

async function entriesOf(what: string | undefined): Promise<readonly Documented[]> {
  if (what === undefined || what === "std") return libraryDocs();
  if (what === "builtins") return functionDocs();
  if (what.endsWith(".mod") || what === STDIN) return fileEntries(readSource(what));
  if (isFolder(what) || isHubName(what)) return fileEntries((await openNamed(what)).source);
  const all = [...libraryDocs(), ...functionDocs()];
  const named = all.filter((e) => e.name === what);
  if (named.length === 0)
    throw new UserError(
      `${JSON.stringify(what)} is neither a .mod file nor a block or function of the language`,
      didYouMean(what, ["std", "builtins", ...all.map((e) => e.name)]) ??
        "list them with `modc doc std` and `modc doc builtins`",
    );
  return named;
}

function select(
  entries: readonly Documented[],
  what: string | undefined,
  name: string | undefined,
): readonly Documented[] {
  if (name === undefined) return entries;
  const named = entries.filter((e) => e.name === name);
  if (named.length === 0) {
    const names = entries.map((e) => e.name);
    throw new UserError(
      `${what ?? "std"} declares no ${name}`,
      didYouMean(name, names) ?? `it declares ${names.join(", ") || "nothing"}`,
    );
  }
  return named;
}

function fileEntries(source: SourceFile): readonly Documented[] {
  const { file, diagnostics } = parse(source);
  if (diagnostics.some((d) => d.severity === "error")) {
    throw new SourceError(diagnostics, [source]);
  }
  return documentedIn(file, source.text);
}

function print({ signature, doc: text, parameters, functions }: Documented): string {
  const lines = [signature, ...indented(text, 4)];
  const width = Math.max(0, ...parameters.filter((p) => p.doc !== null).map((p) => p.name.length));
  for (const p of parameters)
    if (p.doc !== null) lines.push(`      ${p.name.padEnd(width)}  ${p.doc.trim().replaceAll(/\s*\n\s*/g, " ")}`);
  for (const fn of functions) lines.push(`    ${fn.signature}`, ...indented(fn.doc, 8));
  return lines.join("\n");
}

const indented = (text: string | null, by: number): readonly string[] =>
  text === null
    ? []
    : text
        .trim()
        .split("\n")
        .map((line) => `${" ".repeat(by)}${line}`);
