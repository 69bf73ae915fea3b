// Checks of `modc check` that compare several phases.
import type { Entry, Phase } from "./model.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { diagnose } from "../diagnostics/diagnostic.js";
import { withSources } from "../diagnostics/sources.js";
import type { SourceFile, Span } from "../diagnostics/span.js";
import { check, type Checked, type CheckOptions } from "./check.js";

/** The limit on notes about obstacles to generation. */
const MAX_NOTES = 3;

/**
 * Notes that explain why a valid model of tokens cannot be used for generation, one for each place; none if it can, or
 * if it has errors.
 */
export function generationNotes(
  root: SourceFile,
  options: Omit<CheckOptions, "phase" | "entry">,
  found: Checked,
): readonly Diagnostic[] {
  const [input] = found.model?.inputs ?? [];
  if (found.model?.entry !== "forward" || input?.type.dtype !== "u32") return [];
  const { diagnostics, sources } = check(root, {
    ...options,
    phase: "generate" satisfies Phase,
    entry: "forward" satisfies Entry,
  });
  const errors = diagnostics.filter((d) => d.severity === "error").slice(0, MAX_NOTES);
  return withSources(
    errors.map(({ message, span, notes }) => diagnose("cannot-generate", { why: message }, span, notes)),
    sources,
  );
}

/** Every `@allow` that suppressed no warning in any pass over the models and phases of a file. */
export function unusedAllows(passes: readonly Checked[]): readonly Diagnostic[] {
  const placed = (span: Span): string => `${span.file}:${span.start}`;
  const used = new Set(passes.flatMap(({ allows }) => allows.filter((a) => a.used).map((a) => placed(a.span))));
  const unused = new Map(
    passes.flatMap(({ allows }) => allows.filter((a) => !used.has(placed(a.span))).map((a) => [placed(a.span), a])),
  );
  const sources = passes.flatMap((p) => p.sources);
  return withSources(
    [...unused.values()].map(({ code, span }) => diagnose("unused-allow", { code }, span)),
    sources,
  );
}
