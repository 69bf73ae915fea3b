// Hover texts for names: the declaration, the values and axes seen in checks, and the documentation.
import type { Span } from "../diagnostics/span.js";
import type { Definition } from "../names/definitions.js";
import { occurrenceAt, type Occurrence } from "./occurrences.js";
import type { Project } from "./project.js";
import { axisLines, shownValues } from "./shown.js";
import { builtinDocs, phases, routeMembers, seenOf, textOfDefinition, type DefinitionText } from "./definition-text.js";

export interface Hover {
  readonly span: Span;
  /** One part for each definition that the name may refer to. */
  readonly parts: readonly HoverPart[];
}

export interface HoverPart extends DefinitionText {
  /** The type or value that the name had; null if unknown. */
  readonly value: string | null;
  /** One line for each axis of the type: bounds and row counts. */
  readonly axes: readonly string[];
}

export function hoverAt(project: Project, file: string, offset: number): Hover | null {
  const names = project.names(file);
  const occurrence = names && occurrenceAt(names, offset);
  if (!occurrence) return null;
  const word = (project.textOf(file) ?? "").slice(occurrence.span.start, occurrence.span.end);
  if (occurrence.definitions.length === 0) {
    const known = builtinAt(occurrence, word);
    return known && { span: occurrence.span, parts: [{ ...known, value: null, axes: [] }] };
  }
  return { span: occurrence.span, parts: occurrence.definitions.map((d) => partOf(project, d, occurrence)) };
}

/** Documentation of a name without a declaration: a built-in function, a phase, a member of a route. */
export const builtinAt = ({ object }: Occurrence, word: string): DefinitionText | null =>
  object ? (routeMembers.get(word) ?? null) : (builtinDocs.get(word) ?? phases.get(word) ?? null);

function partOf(project: Project, definition: Definition, { span, binds }: Occurrence): HoverPart {
  // A local may have a different type at each binding; a use has the type from the last binding before this use.
  const at = definition.kind === "local" ? lastBinding(project, definition, span, binds) : definition.name.span;
  const seen = seenOf(project, definition, at);
  return { ...textOfDefinition(project, definition), value: shownValues(seen), axes: axisLines(seen) };
}

/** The last binding before a use, in text order. */
export function lastBinding(project: Project, definition: Definition, use: Span, binds: boolean): Span {
  if (binds) return use;
  const names = project.names(use.file);
  let last = definition.name.span;
  for (const o of names?.occurrences ?? []) {
    if (o.span.start >= use.start) break;
    if (o.binds && o.effectiveFrom <= use.start && o.definitions.includes(definition)) last = o.span;
  }
  return last;
}
