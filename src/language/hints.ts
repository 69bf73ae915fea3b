// Inlay hints of shapes: the types of locals, of routes and of the variables of loops, as the checks found them.
import type { Project } from "./project.js";
import { axisLines, shownValues } from "./shown.js";

export interface Hint {
  /** It stands behind this offset. */
  readonly at: number;
  readonly label: string;
  /** Shown when it is pointed at. */
  readonly more: string;
  readonly kind: "shape" | "cost";
}

/** Hints within a range of offsets. */
export function shapeHints(project: Project, file: string, from: number, to: number): readonly Hint[] {
  const names = project.names(file);
  const views = project.factsOf(file);
  if (!names || views.length === 0) return [];
  return names.occurrences.flatMap((o): readonly Hint[] => {
    const [definition] = o.definitions;
    if (!o.binds || o.span.end < from || o.span.start > to || !definition) return [];
    const { kind } = definition;
    if (kind !== "local" && kind !== "each" && kind !== "input" && kind !== "sub-block") return [];
    // The type of an input stands there already, as does the block of a sub-block that is one.
    if (kind === "sub-block" || (kind === "input" && o.span.start === definition.name.span.start)) return [];
    for (const { facts, to: then } of views) {
      const start = then(o.span.start);
      const end = then(o.span.end);
      // The name must be the one that was bound there.
      if (start === null || end === null || end - start !== o.span.end - o.span.start) continue;
      const seen = facts.seen(file, start);
      const label = shownValues(seen);
      if (label === null) continue;
      return [{ at: o.span.end, label: `: ${label}`, more: axisLines(seen).join("\n"), kind: "shape" }];
    }
    return [];
  });
}
