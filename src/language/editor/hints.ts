// Inlay hints for shapes (types of locals, routes and loop variables), and for whether a model can generate.
import type { Project } from "./project.js";
import { axisLines, shownValues } from "./shown.js";

export interface Hint {
  /** The hint is shown after this offset. */
  readonly at: number;
  readonly label: string;
  /** The tooltip. */
  readonly more: string;
  readonly kind: "shape" | "cost" | "causal";
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
    // Declarations of inputs already show the type, and declarations of sub-blocks the block.
    if (kind === "sub-block" || (kind === "input" && o.span.start === definition.name.span.start)) return [];
    for (const { facts, to: then } of views) {
      const start = then(o.span.start);
      const end = then(o.span.end);
      // The name now must have the length of the name that was bound.
      if (start === null || end === null || end - start !== o.span.end - o.span.start) continue;
      const seen = facts.seen(file, start);
      // A list that grows in a loop has a different value in each iteration.
      const lengths = new Set(seen.map(({ value }) => (value.kind === "list" ? value.length : null)));
      if (lengths.has(0) || (lengths.size > 1 && [...lengths].some((n) => n !== null))) return [];
      const label = shownValues(seen);
      if (label === null) continue;
      return [{ at: o.span.end, label: `: ${label}`, more: axisLines(seen).join("\n"), kind: "shape" }];
    }
    return [];
  });
}

/** After the head of each model's `forward`: whether the model is causal, once the review has checked this. */
export function causalHints(project: Project, file: string, from: number, to: number): readonly Hint[] {
  const reviewed = project.underWay(file);
  const obstacles = reviewed?.review?.obstacles;
  if (!reviewed || !obstacles) return [];
  return (project.parsed(file)?.file.declarations ?? []).flatMap((d): readonly Hint[] => {
    if (d.kind !== "block" || !d.model) return [];
    const fn = d.members.find((m) => m.kind === "function" && m.name.text === "forward");
    const step = reviewed.steps.find((s) => s.phase === "infer" && s.model === d.name.text);
    if (fn?.kind !== "function" || step?.reads?.dtype !== "u32") return [];
    const at = fn.results.at(-1)?.type.span.end ?? fn.inputs.at(-1)?.span.end ?? fn.name.span.end;
    if (at < from || at > to) return [];
    const notes = obstacles.get(d.name.text) ?? [];
    return notes.length === 0
      ? [{ at, kind: "causal", label: "causal", more: "No token depends on later ones: the model can generate." }]
      : [{ at, kind: "causal", label: "not causal", more: notes.map((n) => n.message).join("\n") }];
  });
}
