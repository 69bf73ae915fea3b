// `modc fmt`: formats files in place, or with `--check` lists those that are not formatted.
import { formatSource } from "../../../language/syntax/format/format-source.js";
import { EXIT, type ExitCode } from "../terminal/exit.js";
import { readSource, STDIN, writeText } from "../source/files.js";
import { diagnosticJson, showDiagnostics } from "../terminal/diagnostics.js";
import { out, outJson, outRaw } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { sourceCommands } from "../tree/source.js";

/**
 * A file with syntax errors stays unchanged. With `--check` nothing is written, and the exit code is 1 if some file
 * would change.
 */
export function fmt(files: readonly string[], flags: Flags<typeof sourceCommands.fmt>): ExitCode {
  const changed: string[] = [];
  const broken: string[] = [];
  const found: object[] = [];
  const printed: { readonly file: string; readonly text: string }[] = [];
  for (const file of files) {
    const source = readSource(file);
    const { text, diagnostics } = formatSource(source.text, source.file);
    if (flags.json) found.push(...diagnostics.map((d) => diagnosticJson(d, [source])));
    else showDiagnostics(diagnostics, [source]);
    if (text === null) broken.push(file);
    else if (!flags.check && (flags.stdout || file === STDIN)) printed.push({ file, text });
    else if (text !== source.text) {
      changed.push(file);
      if (!flags.check) writeText(file, text);
      if (!flags.json) out(flags.check ? `${file} is not formatted` : `${file} formatted`);
    }
  }
  if (flags.json) outJson({ changed, broken, diagnostics: found, ...(printed.length > 0 ? { texts: printed } : {}) });
  else for (const { text } of printed) outRaw(text);
  return broken.length > 0 || (flags.check && changed.length > 0) ? EXIT.user : EXIT.fine;
}
