// What is told of the name at a place: its declaration, its values and axes in the checks, its documentation.
import type { Span } from "../diagnostics/span.js";
import { occurrenceAt, type Definition, type Occurrence } from "./definitions.js";
import type { Project } from "./project.js";
import { axisLines, shownValues } from "./shown.js";
import { builtinDocs, phases, routeMembers, seenOf, told, type Told } from "./told.js";

export interface Hover {
  readonly span: Span;
  /** One for each thing that the name can be. */
  readonly parts: readonly HoverPart[];
}

export interface HoverPart extends Told {
  /** What it stood for: a type, a value; null: nothing is known. */
  readonly value: string | null;
  /** The axes of that type, a line each: bounds, and how many rows there are. */
  readonly axes: readonly string[];
}

/** Null where no name is. */
export function hoverAt(project: Project, file: string, offset: number): Hover | null {
  const names = project.names(file);
  const found = names && occurrenceAt(names, offset);
  if (!found) return null;
  const word = (project.textOf(file) ?? "").slice(found.span.start, found.span.end);
  if (found.definitions.length === 0) {
    const known = builtinAt(found, word);
    return known && { span: found.span, parts: [{ ...known, value: null, axes: [] }] };
  }
  return { span: found.span, parts: found.definitions.map((d) => partOf(project, d, found)) };
}

/** What a name is that nothing declares: a built-in function, a phase, a member of a route. */
export const builtinAt = ({ object }: Occurrence, word: string): Told | null =>
  object ? (routeMembers.get(word) ?? null) : (builtinDocs.get(word) ?? phases.get(word) ?? null);

function partOf(project: Project, definition: Definition, { span, binds }: Occurrence): HoverPart {
  // A local has a type of its own at each of its bindings; a use has that of the last binding before it.
  const at = definition.kind === "local" ? lastBinding(project, definition, span, binds) : definition.name.span;
  const seen = seenOf(project, definition, at);
  return { ...told(project, definition), value: shownValues(seen), axes: axisLines(seen) };
}

/** The binding of a local that a use reads, in the order of the text. */
export function lastBinding(project: Project, definition: Definition, use: Span, binds: boolean): Span {
  if (binds) return use;
  const names = project.names(use.file);
  let last = definition.name.span;
  for (const o of names?.occurrences ?? []) {
    if (o.span.start >= use.start) break;
    if (o.binds && o.holds <= use.start && o.definitions.includes(definition)) last = o.span;
  }
  return last;
}
