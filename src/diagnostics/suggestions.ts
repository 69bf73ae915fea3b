// The name that a diagnostic suggests in place of what stands there, for editors that put it there.

// Beside the diagnostics, as their sources are, so that neither JSON nor copies of them have it.
const known = new WeakMap<object, string>();

/** Notes the suggestion among the data of a diagnostic, if there is one. */
export function withSuggestion<D extends object>(diagnostic: D, data: unknown): D {
  if (typeof data === "object" && data !== null && "suggestion" in data && typeof data.suggestion === "string")
    known.set(diagnostic, data.suggestion);
  return diagnostic;
}

/** Notes for a copy what was suggested in its original. */
export function suggestedAs<D extends object>(copy: D, original: object): D {
  const suggestion = known.get(original);
  if (suggestion !== undefined) known.set(copy, suggestion);
  return copy;
}

export const suggestionOf = (diagnostic: object): string | null => known.get(diagnostic) ?? null;
