// `modc doc` and `modc explain`: print the documentation of a file, the standard library, the built-in functions, or
// the code of an error.
import { type Documented, documentedIn, functionDocs, libraryDocs } from "../../../language/check/documented.js";
import type { SourceFile } from "../../../language/diagnostics/span.js";
import { parse } from "../../../language/syntax/parse.js";
import { SourceError } from "../../../models/errors.js";
import { didYouMean } from "../tree/usage.js";
import { UserError, type ExitCode } from "../terminal/exit.js";
import { readSource, STDIN } from "../source/files.js";
import { openNamed } from "../source/model-file.js";
import { isFolder } from "../../../models/tokenizer/folder-node.js";
import { printReport } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { aboutCommands } from "../tree/about.js";
import { catalogue, type Code } from "../../../language/diagnostics/catalogue.js";
import { table } from "../terminal/units.js";

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
  if (isFolder(what)) return fileEntries((await openNamed(what)).source);
  const all = [...libraryDocs(), ...functionDocs()];
  const found = all.filter((e) => e.name === what);
  if (found.length === 0)
    throw new UserError(
      `${JSON.stringify(what)} is neither a .mod file nor a block or function of the language`,
      didYouMean(what, ["std", "builtins", ...all.map((e) => e.name)]) ??
        "list them with `modc doc std` and `modc doc builtins`",
    );
  return found;
}

function select(
  entries: readonly Documented[],
  what: string | undefined,
  name: string | undefined,
): readonly Documented[] {
  if (name === undefined) return entries;
  const found = entries.filter((e) => e.name === name);
  if (found.length === 0) {
    const names = entries.map((e) => e.name);
    throw new UserError(
      `${what ?? "std"} declares no ${name}`,
      didYouMean(name, names) ?? `it declares ${names.join(", ") || "nothing"}`,
    );
  }
  return found;
}

function fileEntries(source: SourceFile): readonly Documented[] {
  const { file, diagnostics } = parse(source);
  if (diagnostics.some((d) => d.severity === "error")) {
    throw new SourceError(diagnostics, [source]);
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
  for (const p of parameters)
    if (p.doc !== null) lines.push(`      ${p.name.padEnd(width)}  ${p.doc.trim().replaceAll(/\s*\n\s*/g, " ")}`);
  return lines.join("\n");
}

/** Without a code, all of them with the first sentence of each. */
export function explain(code: string | undefined, flags: Flags<typeof aboutCommands.explain>): ExitCode {
  const codes = Object.keys(catalogue).sort() as Code[]; // the keys of a constant table
  if (code === undefined) {
    const rows = codes.map((c) => {
      const { severity, explain: text } = catalogue[c];
      return { code: c, severity, summary: firstSentence(text) };
    });
    return printReport(flags, {
      json: rows,
      text: table(rows, [
        ["code", (r) => r.code],
        ["kind", (r) => r.severity],
        ["what", (r) => r.summary],
      ]),
    });
  }
  const found = codes.find((c) => c === code);
  if (found === undefined)
    throw new UserError(
      `there is no code ${JSON.stringify(code)}`,
      didYouMean(code, codes) ?? "list all codes with `modc explain`",
    );
  const { severity, explain: text } = catalogue[found];
  return printReport(flags, {
    json: { code: found, severity, text },
    text: `${severity}[${found}]\n\n${text.trimEnd()}`,
  });
}

function firstSentence(text: string): string {
  const flat = text
    .trim()
    .split(/\n\s*\n/)[0]!
    .replaceAll(/\s+/g, " ");
  return /^.*?\.(?=\s|$)/.exec(flat)?.[0] ?? flat;
}
