// The names that a diagnostic suggests, for an editor's quick fixes.

interface Suggested {
  /** The name to write in place of the text at the span. */
  readonly suggestion: string | null;
  /** Names of the standard library to import. */
  readonly missing: readonly string[];
}

// A separate map, as for sources, so that neither the JSON nor copies of diagnostics contain the names.
const known = new WeakMap<object, Suggested>();

/** Records the suggestions among the data of a diagnostic, if there are any. */
export function withSuggestion<D extends object>(diagnostic: D, data: unknown): D {
  if (typeof data !== "object" || data === null) return diagnostic;
  const suggestion = "suggestion" in data && typeof data.suggestion === "string" ? data.suggestion : null;
  const missing = "missing" in data && Array.isArray(data.missing) ? data.missing.map(String) : [];
  if (suggestion !== null || missing.length > 0) known.set(diagnostic, { suggestion, missing });
  return diagnostic;
}

/** Copies the suggestions of a diagnostic to its copy. */
export function suggestedAs<D extends object>(copy: D, original: object): D {
  const suggested = known.get(original);
  if (suggested !== undefined) known.set(copy, suggested);
  return copy;
}

export const suggestionOf = (diagnostic: object): string | null => known.get(diagnostic)?.suggestion ?? null;
export const missingImportsOf = (diagnostic: object): readonly string[] => known.get(diagnostic)?.missing ?? [];
