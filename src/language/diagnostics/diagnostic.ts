// The type `Diagnostic`, and the collection `Diagnostics` that the compiler reports into.
import { catalogue, type Code, type DataOf } from "./catalogue.js";
import type { CodeDef, Severity } from "./codes/define.js";
import { escapeText } from "../../ground/base/shown.js";
import type { Span, SourceFile } from "./span.js";

export interface Note {
  readonly text: string;
  readonly span: Span | null;
}

export interface Diagnostic {
  readonly code: Code;
  readonly severity: Severity;
  readonly message: string;
  readonly hint: string | null;
  readonly span: Span;
  readonly notes: readonly Note[];
}

/** Creates the diagnostic of a code from its data. */
export function diagnose<C extends Code>(
  code: C,
  data: DataOf<C>,
  span: Span,
  notes: readonly Note[] = [],
): Diagnostic {
  // Cast: the catalogue's entries are a union over all data types; `C` ties this entry to its data.
  const def = catalogue[code] as unknown as CodeDef<DataOf<C>>;
  const hint = def.hint(data);
  const diagnostic: Diagnostic = {
    code,
    severity: def.severity,
    message: readable(def.message(data)),
    hint: hint === null ? null : readable(hint),
    span,
    notes,
  };
  return withSuggestion(diagnostic, data);
}

const MAX_LENGTH = 1000;

/**
 * Cuts names and strings from the source, which may be as long as the file, to a readable length, and escapes control
 * characters.
 */
const readable = (text: string): string =>
  escapeText(text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH - 100)} … ${text.slice(-90)}` : text);

/** The limit on stored errors, and the separate limit on stored warnings, so that warnings never displace errors. */
export const MAX_DIAGNOSTICS = 100;

/** Collects diagnostics; drops a diagnostic equal to an earlier one at the same place. */
export class Diagnostics {
  readonly #byKey = new Map<string, Diagnostic>();
  readonly #stored: Record<Severity, number> = { error: 0, warning: 0, note: 0 };

  report<C extends Code>(code: C, data: DataOf<C>, span: Span, notes: readonly Note[] = []): void {
    this.add(diagnose(code, data, span, notes));
  }
  add(d: Diagnostic): void {
    const key = `${d.span.file}:${d.span.start}:${d.span.end}:${d.code}:${d.message}`;
    if (this.#stored[d.severity] >= MAX_DIAGNOSTICS || this.#byKey.has(key)) return;
    this.#byKey.set(key, d);
    this.#stored[d.severity]++;
  }
  get hasErrors(): boolean {
    return this.#stored.error > 0;
  }
  /** Whether the limit on errors is reached. */
  get full(): boolean {
    return this.#stored.error >= MAX_DIAGNOSTICS;
  }
  /** Sorted by file and position; files in the order of their first diagnostic. */
  get all(): readonly Diagnostic[] {
    const files = [...new Set([...this.#byKey.values()].map((d) => d.span.file))];
    return [...this.#byKey.values()].sort(
      (a, b) => files.indexOf(a.span.file) - files.indexOf(b.span.file) || a.span.start - b.span.start,
    );
  }
}

interface Suggested {
  /** The name to write in place of the text at the span. */
  readonly suggestion: string | null;
  /** Names of the standard library to import. */
  readonly missing: readonly string[];
}

// A separate map, as for sources, so that neither the JSON nor copies of diagnostics contain the names.
const suggestions = new WeakMap<object, Suggested>();

/** Records the suggestions among the data of a diagnostic, if there are any. */
function withSuggestion<D extends object>(diagnostic: D, data: unknown): D {
  if (typeof data !== "object" || data === null) return diagnostic;
  const suggestion = "suggestion" in data && typeof data.suggestion === "string" ? data.suggestion : null;
  const missing = "missing" in data && Array.isArray(data.missing) ? data.missing.map(String) : [];
  if (suggestion !== null || missing.length > 0) suggestions.set(diagnostic, { suggestion, missing });
  return diagnostic;
}

/** Copies the suggestions of a diagnostic to its copy. */
export function suggestedAs<D extends object>(copy: D, original: object): D {
  const suggested = suggestions.get(original);
  if (suggested !== undefined) suggestions.set(copy, suggested);
  return copy;
}

export const suggestionOf = (diagnostic: object): string | null => suggestions.get(diagnostic)?.suggestion ?? null;
export const missingImportsOf = (diagnostic: object): readonly string[] => suggestions.get(diagnostic)?.missing ?? [];

// A WeakMap rather than a field of `Diagnostic`, whose JSON would otherwise contain whole files.
const sourceFiles = new WeakMap<Diagnostic, readonly SourceFile[]>();

/** Attaches source files to the diagnostics, for `sourcesOf`; returns the same diagnostics. */
export function withSources(diagnostics: readonly Diagnostic[], sources: readonly SourceFile[]): readonly Diagnostic[] {
  for (const d of diagnostics) sourceFiles.set(d, sources);
  return diagnostics;
}

/** The source files attached to this diagnostic; none for a copy of the object. */
export const sourcesOf = (diagnostic: Diagnostic): readonly SourceFile[] => sourceFiles.get(diagnostic) ?? [];
