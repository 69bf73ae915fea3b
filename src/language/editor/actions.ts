// Quick fixes for diagnostics: the edits of code actions.
import { missingImportsOf, suggestionOf, type Diagnostic } from "../diagnostics/diagnostic.js";
import type { Expr, File } from "../syntax/ast.js";
import { elsewhere } from "./completion.js";
import { importOfNames, type Edit } from "./imports.js";
import type { Project } from "./project.js";
import { axisName } from "../check/model/types.js";
import type { Span } from "../diagnostics/span.js";
import { isNode, type Definition } from "../names/definitions.js";
import { occurrenceAt } from "./occurrences.js";
import { lastBinding } from "./hover.js";
import { seenOf } from "./definition-text.js";

export interface Action {
  readonly title: string;
  readonly diagnostic: Diagnostic;
  readonly edits: readonly Edit[];
  /** Whether this is the most likely fix. */
  readonly preferred: boolean;
}

/** The quick fixes for a diagnostic of the file's current text. */
export function mendsOf(project: Project, file: string, diagnostic: Diagnostic): readonly Action[] {
  const { code, span, severity } = diagnostic;
  const text = project.textOf(file);
  if (text === null || span.file !== file) return [];
  const action = (title: string, edits: readonly Edit[], preferred = false): Action => ({
    title,
    diagnostic,
    edits,
    preferred,
  });
  const word = text.slice(span.start, span.end);
  const found: Action[] = [];
  if (code === "unknown-name")
    for (const edit of importsOf(project, file, word)) found.push(action(edit.title, [edit], true));
  const missing = missingImportsOf(diagnostic);
  for (const edit of [...libraryImport(project, file, missing), ...missing.flatMap((n) => importsOf(project, file, n))])
    found.push(action(edit.title, [edit], found.length === 0));
  const suggestion = suggestionOf(diagnostic);
  if (suggestion !== null && code !== "bad-allow") {
    const quoted = word.startsWith('"') ? JSON.stringify(suggestion) : suggestion;
    if (/^[A-Za-z_]\w*$/.test(word) || word.startsWith('"'))
      found.push(action(`Write ${quoted}`, [{ ...range(span), text: quoted }], found.length === 0));
  }
  if (code === "unordered-route")
    for (const { name, route, at } of takesAt(project, file, span))
      found.push(
        action(`Take ${name} by the route ${route}`, [{ ...range(at), text: `take(${name}, ${route})` }], true),
      );
  if (code === "cannot-generate" || code === "non-causal-choice") {
    const edit = causalRule(project, file, text, span);
    if (edit) found.push(action("Choose by the causal rule when generating", [edit], true));
  }
  if (code === "unused-allow") found.push(action("Remove the comment", [lineOf(text, span)], true));
  if (severity === "warning" && code !== "unused-allow")
    found.push(action(`Silence ${code} here`, [silenced(text, span.start, code)]));
  return found;
}

const range = ({ start, end }: { readonly start: number; readonly end: number }): Omit<Edit, "text"> => ({
  start,
  end,
});

type Import = Edit & { readonly title: string };

/** Edits that import a name from other files of the project. */
const importsOf = (project: Project, file: string, name: string): readonly Import[] =>
  elsewhere(project, file)
    .filter((d) => d.name.text === name)
    .flatMap((d) => titled(importOfNames(project, file, [name], d.name.span.file), [name]));

/** The edit that imports names from the standard library. */
function libraryImport(project: Project, file: string, names: readonly string[]): readonly Import[] {
  const declared = names.flatMap((name) => project.library.get(name) ?? []);
  const [first] = declared;
  return first === undefined ? [] : titled(importOfNames(project, file, names, first.name.span.file), names);
}

const titled = (edit: (Edit & { readonly from: string }) | null, names: readonly string[]): readonly Import[] =>
  edit === null ? [] : [{ ...edit, title: `Import ${names.join(", ")} from "${edit.from}"` }];

/**
 * `top(score, k)` → `if generate then above(…, 0.0, expected: c) else top(score, k)`, if k is a share of all tokens.
 */
function causalRule(
  project: Project,
  file: string,
  text: string,
  span: { readonly start: number; readonly end: number },
): Edit | null {
  const tree = project.parsed(file)?.file;
  const call = tree && smallestAround(tree, span, (e): e is CallOfName => isCallOf(e, "top"));
  const [score, k] = call?.args ?? [];
  if (!call || !score || !k || score.name || call.args.length !== 2) return null;
  const of = (e: Expr): string => text.slice(e.span.start, e.span.end);
  const capacity = shareIn(k.value);
  // If the function has already computed a prediction `likely`, the causal selection uses this prediction.
  const guessed = project
    .names(file)
    ?.definitions.some(
      (d) => d.kind === "local" && d.name.text === "likely" && d.from <= span.start && span.start <= d.to,
    );
  const reason = guessed ? "likely" : of(score.value);
  const expected = capacity === null ? "" : `, expected: ${of(capacity)}`;
  const rule = `if generate then above(${reason}, 0.0${expected}) else ${text.slice(call.span.start, call.span.end)}`;
  return { start: call.span.start, end: call.span.end, text: rule };
}

type CallOfName = Extract<Expr, { kind: "call" }>;
const isCallOf = (e: Expr, name: string): e is CallOfName =>
  e.kind === "call" && e.callee.kind === "name" && e.callee.name === name;

/** The c in `ceil(c * T)`; null for any other k. */
function shareIn(k: Expr): Expr | null {
  const rounded = k.kind === "call" && k.callee.kind === "name" && ["ceil", "floor", "round"].includes(k.callee.name);
  const inner = rounded ? (k.args[0]?.value ?? k) : k;
  if (inner.kind !== "binary" || inner.op !== "*") return null;
  const isAxis = (e: Expr): boolean => e.kind === "name" && /^[A-Z]/.test(e.name);
  return isAxis(inner.right) ? inner.left : isAxis(inner.left) ? inner.right : null;
}

/** Removes a comment; if nothing else is on the line, removes the whole line. */
function lineOf(text: string, { start, end }: { readonly start: number; readonly end: number }): Edit {
  const head = text.lastIndexOf("\n", start - 1) + 1;
  const alone = text.slice(head, start).trim() === "";
  if (!alone) return { start: start - /[ \t]*$/.exec(text.slice(head, start))![0].length, end, text: "" };
  const newline = text.indexOf("\n", end);
  return { start: head, end: newline === -1 ? text.length : newline + 1, text: "" };
}

/** Inserts an `@allow` comment above the line; the user still has to write the reason. */
function silenced(text: string, at: number, code: string): Edit {
  const head = text.lastIndexOf("\n", at - 1) + 1;
  const indent = /^[ \t]*/.exec(text.slice(head))![0];
  return { start: head, end: head, text: `${indent}// @allow ${code}: this is intended\n` };
}

interface Take {
  readonly name: string;
  readonly route: string;
  readonly at: Span;
}

/** Operands along the axis from which a visible route chose; each can be gathered by the route. */
function takesAt(project: Project, file: string, span: Span): readonly Take[] {
  const tree = project.parsed(file)?.file;
  const names = project.names(file);
  if (!tree || !names) return [];
  const joined = smallestAround(tree, span, (e): e is Joined => e.kind === "binary" || e.kind === "call");
  if (!joined) return [];
  const operands = (joined.kind === "binary" ? [joined.left, joined.right] : joined.args.map((a) => a.value)).flatMap(
    (e) => (e.kind === "name" ? [e] : []),
  );
  const routes = names.definitions.flatMap((d) => {
    const visible = d.kind === "local" && d.from <= span.start && span.start <= d.to;
    const [seen] = visible ? seenOf(project, d) : [];
    if (seen?.value.kind !== "route") return [];
    const axis = seen.axis(seen.value.axis);
    if (axis.role !== "sequence" || !("parent" in axis.count)) return [];
    return [{ name: d.name.text, parent: axis.count.parent }];
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

interface Place {
  readonly start: number;
  readonly end: number;
}

/** The smallest expression that contains a place and satisfies a test. */
function smallestAround<E extends Expr>(file: File, at: Place, accepts: (e: Expr) => e is E): E | null {
  let best: E | null = null;
  const todo: unknown[] = [file.declarations];
  for (let node = todo.pop(); node !== undefined; node = todo.pop()) {
    if (!isNode(node)) continue;
    const { span } = node;
    if (isPlace(span)) {
      if (span.start > at.start || span.end < at.end) continue;
      // Marked boundary: a node with a span and one of these kinds is an expression.
      const expr = node as unknown as Expr;
      if (EXPRESSIONS.has(expr.kind) && accepts(expr) && (best === null || span.end - span.start <= width(best)))
        best = expr;
    }
    for (const child of Object.values(node)) if (isNode(child)) todo.push(child);
  }
  return best;
}

const width = ({ span }: Expr): number => span.end - span.start;
const isPlace = (span: unknown): span is Place => isNode(span) && typeof span["start"] === "number";

const EXPRESSIONS: ReadonlySet<string> = new Set<Expr["kind"]>([
  "number",
  "string",
  "bool",
  "none",
  "name",
  "unary",
  "binary",
  "list",
  "comprehension",
  "range",
  "call",
  "member",
  "index",
]);
