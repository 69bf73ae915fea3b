// Finds operands to gather by a route, for expressions that mix a route's rows with all tokens.
import type { Expr } from "../syntax/ast.js";
import { axisName } from "../check/types.js";
import type { Span } from "../diagnostics/span.js";
import type { Definition } from "../names/definitions.js";
import { occurrenceAt } from "./occurrences.js";
import { smallestAround } from "./expressions.js";
import { lastBinding } from "./hover.js";
import type { Project } from "./project.js";
import { seenOf } from "./told.js";

export interface Take {
  readonly name: string;
  readonly route: string;
  readonly at: Span;
}

/** Operands along the axis from which a visible route chose; each can be gathered by the route. */
export function takesAt(project: Project, file: string, span: Span): readonly Take[] {
  const tree = project.parsed(file)?.file;
  const names = project.names(file);
  if (!tree || !names) return [];
  const whole = smallestAround(tree, span, (e): e is Joined => e.kind === "binary" || e.kind === "call");
  if (!whole) return [];
  const operands = (whole.kind === "binary" ? [whole.left, whole.right] : whole.args.map((a) => a.value)).flatMap((e) =>
    e.kind === "name" ? [e] : [],
  );
  const routes = names.definitions.flatMap((d) => {
    const visible = d.kind === "local" && d.from <= span.start && span.start <= d.to;
    const [seen] = visible ? seenOf(project, d) : [];
    if (seen?.value.kind !== "route") return [];
    const made = seen.axis(seen.value.axis);
    if (made.role !== "sequence" || !("parent" in made.count)) return [];
    return [{ name: d.name.text, parent: made.count.parent }];
  });
  return operands.flatMap((e) => {
    const [definition] = occurrenceAt(names, e.span.start)?.definitions ?? [];
    const along = definition ? axesOf(project, definition, e.span) : [];
    return routes.filter((r) => along.includes(r.parent)).map((r) => ({ name: e.name, route: r.name, at: e.span }));
  });
}

type Joined = Extract<Expr, { kind: "binary" | "call" }>;

function axesOf(project: Project, definition: Definition, use: Span): readonly string[] {
  const at = definition.kind === "local" ? lastBinding(project, definition, use, false) : definition.name.span;
  return seenOf(project, definition, at).flatMap(({ value }) =>
    value.kind === "tensor" ? value.type.shape.flatMap((size) => axisName(size) ?? []) : [],
  );
}
