// Prints diagnostics of the compiler in a terminal, and as JSON with lines and columns.
import { sourcesOf, type Diagnostic } from "../../../language/diagnostics/diagnostic.js";
import { formatDiagnostics } from "../../../language/diagnostics/format.js";
import { lineAndColumn, type SourceFile, type Span } from "../../../language/diagnostics/span.js";
import { escapeText } from "../../../ground/base/shown.js";
import { sayPainted, useColor } from "./terminal.js";

/** Prints errors and warnings on standard error. */
export function showDiagnostics(diagnostics: readonly Diagnostic[], sources: readonly SourceFile[]): void {
  if (diagnostics.length === 0) return;
  // Colours are added after escaping.
  sayPainted(`${formatDiagnostics(diagnostics.map(escaped), { sources, color: useColor() })}\n`);
}

/** The same for several compilations of a text: repeated diagnostics are shown once. */
export function showingOnce(): typeof showDiagnostics {
  const shown = new Set<string>();
  return (diagnostics, sources) => {
    const fresh = diagnostics.filter(({ code, span, message }) => {
      const key = JSON.stringify([code, span, message]);
      return !shown.has(key) && Boolean(shown.add(key));
    });
    showDiagnostics(fresh, sources);
  };
}

const escaped = (d: Diagnostic): Diagnostic => ({
  ...d,
  message: escapeText(d.message),
  hint: d.hint === null ? null : escapeText(d.hint),
  notes: d.notes.map((n) => ({ ...n, text: escapeText(n.text) })),
});

/** With lines and columns, both from 1, in addition to the offsets. */
export const diagnosticJson = (d: Diagnostic, sources: Iterable<SourceFile>): object => ({
  ...d,
  span: spanJson(d.span, d, sources),
  notes: d.notes.map((n) => ({ ...n, span: n.span && spanJson(n.span, d, sources) })),
});

/** A place that a diagnostic names. */
export function spanJson(span: Span, of: Diagnostic, sources: Iterable<SourceFile>): object {
  const text = [...sources, ...sourcesOf(of)].find((s) => s.file === span.file)?.text;
  return text === undefined
    ? span
    : { ...span, from: lineAndColumn(text, span.start), to: lineAndColumn(text, span.end) };
}
