// Redirects diagnostics found inside the library to the place where the user created the instance, if its arguments are
// the cause.
import type { Code } from "../../diagnostics/catalogue.js";
import type { Note } from "../../diagnostics/diagnostic.js";
import type { Span } from "../../diagnostics/span.js";
import type { Instance } from "../names/bindings.js";
import type { Checker, Trace } from "../model/checker.js";

/** Codes caused by an argument of the block (a ratio, a number of experts, an inner block) rather than by a tensor. */
const OF_MAKING: ReadonlySet<Code> = new Set<Code>([
  "bad-pattern",
  "capacity-out-of-range",
  "capacity-rounds-to-zero",
  "choice-too-large",
  "dead-router",
  "doubled-residual",
  "heads-mismatch",
  "list-and-choice",
  "unlike-blocks",
]);

/** The calls for a diagnostic at `span` in a function of the instance, and the note to add. */
export function madeAt(
  checker: Checker,
  code: Code,
  span: Span,
  instance: Instance,
  calls: Trace | null,
): { readonly trace: Trace | null; readonly notes: readonly Note[] } {
  if (!OF_MAKING.has(code) || !checker.isLibrary(span.file) || instance.trace === null)
    return { trace: calls, notes: [] };
  const call = checker.userSpan(calls);
  const called = instance.path === "" ? "called here" : `called here, as \`${instance.path}\``;
  return { trace: instance.trace, notes: call === null ? [] : [{ text: called, span: call }] };
}
