// `modc explain`: explains a diagnostic's code and how to fix its cause.
import { catalogue, type Code } from "../../../language/diagnostics/catalogue.js";
import { didYouMean } from "../tree/usage.js";
import { UserError, type ExitCode } from "../terminal/exit.js";
import { table } from "../terminal/units.js";
import { printReport } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { aboutCommands } from "../tree/about.js";

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
  const known = codes.find((c) => c === code);
  if (known === undefined)
    throw new UserError(
      `there is no code ${JSON.stringify(code)}`,
      didYouMean(code, codes) ?? "list all codes with `modc explain`",
    );
  const { severity, explain: text } = catalogue[known];
  return printReport(flags, {
    json: { code: known, severity, text },
    text: `${severity}[${known}]\n\n${text.trimEnd()}`,
  });
}

function firstSentence(text: string): string {
  const flat = text
    .trim()
    .split(/\n\s*\n/)[0]!
    .replaceAll(/\s+/g, " ");
  return /^.*?\.(?=\s|$)/.exec(flat)?.[0] ?? flat;
}
