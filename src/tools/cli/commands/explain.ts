// `modc explain`: explains a diagnostic's code and how to fix its cause.
import { catalogue, type Code } from "../../../language/diagnostics/catalogue.js";
import { didYouMean } from "../tree/did-you-mean.js";
import { EXIT, UserError, type ExitCode } from "../terminal/exit.js";
import { table } from "../terminal/table.js";
import { out, outJson } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { aboutCommands } from "../tree/about.js";

/** Without a code, all of them with the first sentence of each. */
export function explain(code: string | undefined, flags: Flags<typeof aboutCommands.explain>): ExitCode {
  const codes = Object.keys(catalogue).sort() as Code[]; // the keys of a constant table
  if (code === undefined) {
    const rows = codes.map((c) => [c, catalogue[c].severity, firstSentence(catalogue[c].explain)]);
    if (flags.json) outJson(rows.map(([name, severity, summary]) => ({ code: name, severity, summary })));
    else out(table(["code", "kind", "what"], rows));
    return EXIT.fine;
  }
  const found = codes.find((c) => c === code);
  if (found === undefined)
    throw new UserError(
      `there is no code ${JSON.stringify(code)}`,
      didYouMean(code, codes) ?? "`modc explain` lists them all",
    );
  const { severity, explain: text } = catalogue[found];
  if (flags.json) outJson({ code: found, severity, text });
  else out(`${severity}[${found}]\n\n${text.trimEnd()}`);
  return EXIT.fine;
}

function firstSentence(text: string): string {
  const flat = text
    .trim()
    .split(/\n\s*\n/)[0]!
    .replaceAll(/\s+/g, " ");
  return /^.*?\.(?=\s|$)/.exec(flat)?.[0] ?? flat;
}
