// One finding of the compiler, and the bag that collects them.
import { catalogue, type Code, type DataOf } from "./catalogue.js";
import type { CodeDef, Severity } from "./define.js";
import { escapeText } from "../size/shown.js";
import type { Span } from "./span.js";

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

/** Makes the diagnostic of a code from its data. */
export function diagnose<C extends Code>(
  code: C,
  data: DataOf<C>,
  span: Span,
  notes: readonly Note[] = [],
): Diagnostic {
  // Marked boundary: the table's entries are unions of their data types; `C` ties entry and data together.
  const def = catalogue[code] as unknown as CodeDef<DataOf<C>>;
  const hint = def.hint(data);
  return {
    code,
    severity: def.severity,
    message: readable(def.message(data)),
    hint: hint === null ? null : readable(hint),
    span,
    notes,
  };
}

const MAX_LENGTH = 1000;

/**
 * Names and strings of a source may be as long as the file, and hold what steers a terminal: what nobody reads is left
 * out, the rest is spelled.
 */
const readable = (text: string): string =>
  escapeText(text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH - 100)} … ${text.slice(-90)}` : text);

/**
 * At most this many errors are kept, and as many warnings: past it a file is beyond reading. Warnings never crowd out
 * an error.
 */
export const MAX_DIAGNOSTICS = 100;

/** Collects diagnostics; the same one at the same place is kept once. */
export class Diagnostics {
  readonly #found = new Map<string, Diagnostic>();
  readonly #kept: Record<Severity, number> = { error: 0, warning: 0, note: 0 };

  report<C extends Code>(code: C, data: DataOf<C>, span: Span, notes: readonly Note[] = []): void {
    this.add(diagnose(code, data, span, notes));
  }
  add(d: Diagnostic): void {
    const key = `${d.span.file}:${d.span.start}:${d.span.end}:${d.code}:${d.message}`;
    if (this.#kept[d.severity] >= MAX_DIAGNOSTICS || this.#found.has(key)) return;
    this.#found.set(key, d);
    this.#kept[d.severity]++;
  }
  get hasErrors(): boolean {
    return this.#kept.error > 0;
  }
  /** Whether no further error would be kept. */
  get full(): boolean {
    return this.#kept.error >= MAX_DIAGNOSTICS;
  }
  /** In order of file and place; each file in order of its first finding. */
  get all(): readonly Diagnostic[] {
    const files = [...new Set([...this.#found.values()].map((d) => d.span.file))];
    return [...this.#found.values()].sort(
      (a, b) => files.indexOf(a.span.file) - files.indexOf(b.span.file) || a.span.start - b.span.start,
    );
  }
}
