// The sources that diagnostics speak of, kept beside them: whoever prints a diagnostic need not have kept the text.
import type { Diagnostic } from "./diagnostic.js";
import type { SourceFile } from "./span.js";

// Not a field of the diagnostic: its JSON would carry whole files.
const known = new WeakMap<Diagnostic, readonly SourceFile[]>();

/** The same diagnostics; `sourcesOf` gives these files for each of them from now on. */
export function withSources(diagnostics: readonly Diagnostic[], sources: readonly SourceFile[]): readonly Diagnostic[] {
  for (const d of diagnostics) known.set(d, sources);
  return diagnostics;
}

/** The files that were read where this diagnostic was found; none for a copy of it. */
export const sourcesOf = (diagnostic: Diagnostic): readonly SourceFile[] => known.get(diagnostic) ?? [];
