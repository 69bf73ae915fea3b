// Maps each diagnostic to its source files, so that printing needs no other access to their text.
import type { Diagnostic } from "./diagnostic.js";
import type { SourceFile } from "./span.js";

// A WeakMap rather than a field of `Diagnostic`, whose JSON would otherwise contain whole files.
const known = new WeakMap<Diagnostic, readonly SourceFile[]>();

/** Attaches source files to the diagnostics, for `sourcesOf`; returns the same diagnostics. */
export function withSources(diagnostics: readonly Diagnostic[], sources: readonly SourceFile[]): readonly Diagnostic[] {
  for (const d of diagnostics) known.set(d, sources);
  return diagnostics;
}

/** The source files attached to this diagnostic; none for a copy of the object. */
export const sourcesOf = (diagnostic: Diagnostic): readonly SourceFile[] => known.get(diagnostic) ?? [];
