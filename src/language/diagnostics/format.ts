// Diagnostics as text: a headline, the source line with carets, hint and notes.
import { replaceControls, escapedName } from "../../ground/base/shown.js";
import { sourcesOf, type Diagnostic } from "./diagnostic.js";
import type { Severity } from "./codes/define.js";
import { lineAndColumn, type SourceFile, type Span } from "./span.js";

export interface FormatOptions {
  /**
   * Sources by file name; they take precedence over the sources attached to the diagnostics. A diagnostic without a
   * source is printed as its headline only.
   */
  readonly sources?: ReadonlyMap<string, SourceFile> | readonly SourceFile[];
  readonly color?: boolean;
}

/** Formats the diagnostics one after the other, without a trailing newline. */
export function formatDiagnostics(diagnostics: readonly Diagnostic[], options: FormatOptions = {}): string {
  const list = options.sources ?? [];
  const explicitSources = [...(list instanceof Map ? list.values() : (list as readonly SourceFile[]))];
  const textsOf = (d: Diagnostic): ReadonlyMap<string, string> =>
    new Map([...sourcesOf(d), ...explicitSources].map((s) => [s.file, s.text]));
  return diagnostics.map((d) => formatOne(d, textsOf(d), options.color ?? false)).join("\n\n");
}

const TONES: Readonly<Record<Severity, string>> = { error: "31;1", warning: "33;1", note: "34;1" };

function formatOne(d: Diagnostic, sources: ReadonlyMap<string, string>, color: boolean): string {
  const paint = (style: string, text: string): string => (color ? `\u001b[${style}m${text}\u001b[0m` : text);
  const tone = TONES[d.severity];
  const lines = [`${positionText(d.span, sources)}${paint(tone, `${d.severity}[${d.code}]`)}: ${d.message}`];
  lines.push(...frame(d.span, sources, (t) => paint(tone, t)));
  if (d.hint !== null) lines.push(`  ${paint("36;1", "hint")}: ${d.hint}`);
  for (const n of d.notes) {
    lines.push(`  ${paint("34;1", "note")}: ${n.span ? positionText(n.span, sources) : ""}${n.text}`);
    if (n.span) lines.push(...frame(n.span, sources, (t) => paint("34;1", t)));
  }
  return lines.join("\n");
}

function positionText(span: Span, sources: ReadonlyMap<string, string>): string {
  const text = sources.get(span.file);
  const file = escapedName(span.file);
  if (text === undefined) return `${file}: `;
  const { line, column } = lineAndColumn(text, span.start);
  return `${file}:${line}:${column}: `;
}

const TAB = "    ";
const MAX_WIDTH = 160;

/**
 * The source line with its number, and carets under the span (up to the end of the line for a span over several lines).
 */
function frame(span: Span, sources: ReadonlyMap<string, string>, paint: (text: string) => string): string[] {
  const text = sources.get(span.file);
  if (text === undefined) return [];
  const { line, column } = lineAndColumn(text, span.start);
  const start = span.start - (column - 1);
  const newline = text.indexOf("\n", start);
  const whole = text.slice(start, newline === -1 ? text.length : newline).replace(/\r$/, "");
  // For a very long line, print the part around the span.
  const from = column > MAX_WIDTH - 40 ? column - 40 : 0;
  const shown = whole.slice(from, from + MAX_WIDTH);
  const before = whole.slice(from, column - 1);
  const marked = whole.slice(column - 1, Math.min(span.end - start, from + MAX_WIDTH));
  const wide = (s: string): string => printable(s).replaceAll("\t", TAB);
  const gutter = `  ${line} | `;
  const carets = "^".repeat(Math.max(1, wide(marked).length));
  return [gutter + wide(shown), " ".repeat(gutter.length - 2) + "| " + " ".repeat(wide(before).length) + paint(carets)];
}

/** Replaces control characters, which a terminal would execute. */
const printable = (s: string): string => replaceControls(s, "\ufffd");
