// Completions at the cursor: names in scope, members after a dot, parameters in a call, exports in an import.
import { DTYPES, HEADING, PARAM_KINDS, RESERVED } from "../../../grammar/words.js";
import type { Definition } from "../names/definitions.js";
import { here, visibleAt, type Here } from "./here.js";
import { importOfNames, type Edit } from "./imports.js";
import type { Project } from "./project.js";
import { shownValues } from "./shown.js";
import { calleeAt } from "./signature.js";
import { builtinDocs, phases, routeMembers, seenOf, textOfDefinition, type DefinitionText } from "./definition-text.js";

export type CompletionKind =
  | "block"
  | "function"
  | "parameter"
  | "member"
  | "variable"
  | "constant"
  | "keyword"
  | "type"
  | "file";

export interface Completion {
  readonly label: string;
  readonly kind: CompletionKind;
  readonly detail: string;
  readonly doc: string;
  /** The text to insert instead of the label. */
  readonly apply?: string;
  /** An additional insertion that imports the name. */
  readonly imported?: Edit;
}

export interface Completions {
  /** Start of the word to complete. */
  readonly from: number;
  /** Most specific first. */
  readonly options: readonly Completion[];
}

export function completionsAt(project: Project, file: string, at: number): Completions | null {
  const text = project.textOf(file);
  if (text === null) return null;
  const path = pathAt(text, at);
  if (path) return { from: path.from, options: files(project, file) };
  const before = text.slice(Math.max(0, at - 2000), at);
  if (/(?:^|\n)\s*import\s*\{[^}]*$/.test(before) && !/\/\/[^\n]*$/.test(before))
    return { from: at - wordBefore(before), options: exportsFor(project, file, text, at) };
  const position = here(project, file, at);
  if (!position) return null;
  const { from } = position;
  const dotted = /(^|[^.])\.\s*$/.test(text.slice(Math.max(0, from - 20), from));
  if (dotted) return { from, options: membersAt(project, position) };
  if (text.slice(0, from).endsWith("..")) return null;
  if (/^\d/.test(text.slice(from, at))) return null;
  const scope = visibleAt(position);
  const parameters = parametersAt(project, position);
  const all = [
    ...parameters,
    ...[...scope.values()].map((d) => completionOf(project, d)),
    ...[...builtinDocs.values()].map((d) => ofTold(d, d.name, "function")),
    ...importable(project, file, scope),
    ...[...phases].map(([name, d]) => ofTold(d, name, "constant")),
    ...words(position),
  ];
  const seen = new Set<string>();
  return { from, options: all.filter((c) => !seen.has(c.label) && seen.add(c.label)) };
}

const wordBefore = (before: string): number => /[A-Za-z_]\w*$/.exec(before)?.[0].length ?? 0;

function words({ block, fn }: Here): readonly Completion[] {
  const word = (label: string, kind: "keyword" | "type"): Completion => ({ label, kind, detail: "", doc: "" });
  const heading = fn ? HEADING.statement : block ? HEADING.member : [];
  return [
    ...[...heading, ...RESERVED].map((w) => word(w, "keyword")),
    ...[...DTYPES, ...PARAM_KINDS].map((w) => word(w, "type")),
  ];
}

const KINDS: Readonly<Record<Definition["kind"], CompletionKind>> = {
  block: "block",
  const: "constant",
  parameter: "parameter",
  "sub-block": "member",
  weight: "member",
  function: "function",
  input: "variable",
  axis: "type",
  local: "variable",
  each: "variable",
  loss: "variable",
  result: "member",
};

function completionOf(project: Project, definition: Definition): Completion {
  const { signature, doc } = textOfDefinition(project, definition);
  const value = shownValues(seenOf(project, definition));
  const shown = value === null || definition.kind === "function" || definition.kind === "block" ? signature : value;
  return {
    label: definition.name.text,
    kind: KINDS[definition.kind],
    detail: shown.split("\n")[0]!,
    doc: [...(shown === signature ? [] : [signature]), ...(doc === null ? [] : [doc.trim()])].join("\n\n"),
  };
}

const ofTold = ({ signature, doc }: DefinitionText, label: string, kind: CompletionKind): Completion => ({
  label,
  kind,
  detail: signature.split("\n")[0]!,
  doc: doc?.trim() ?? "",
});

/** Members of the blocks before the dot. If no block is known, the members of a route. */
function membersAt(project: Project, { occurrence, names }: Here): readonly Completion[] {
  const blocks = occurrence?.object?.blocks ?? [];
  if (blocks.length === 0) return [...routeMembers].map(([name, d]) => ofTold(d, name, "member"));
  const seen = new Set<string>();
  return blocks
    .flatMap((b) => {
      const declaring = names.exports.get(b.name.text) === b ? names : project.names(b.name.span.file);
      return [...(declaring?.membersOf(b.node).values() ?? [])].flatMap((all) => all.slice(0, 1));
    })
    .filter((d) => !seen.has(d.name.text) && seen.add(d.name.text))
    .map((d) => completionOf(project, d));
}

/** `name: ` for each parameter without an argument in the enclosing call. */
function parametersAt(project: Project, found: Here): readonly Completion[] {
  const call = calleeAt(project, found);
  if (!call) return [];
  return call.parameters
    .filter(({ name, given }) => !given && name !== "")
    .map(({ name, label, doc }) => ({
      label: `${name}:`,
      kind: "parameter" as const,
      detail: label,
      doc: doc ?? "",
      apply: `${name}: `,
    }));
}

/** Library and workspace names that are not imported yet. */
function importable(project: Project, file: string, scope: ReadonlyMap<string, Definition>): readonly Completion[] {
  return [...project.library.values(), ...elsewhere(project, file)].flatMap((d) => {
    if (scope.has(d.name.text)) return [];
    const edit = importOfNames(project, file, [d.name.text], d.name.span.file);
    if (!edit) return [];
    return [{ ...completionOf(project, d), detail: `imported from "${edit.from}"`, imported: edit }];
  });
}

/** Blocks and constants of other files in the workspace, except models. */
export const elsewhere = (project: Project, file: string): readonly Definition[] =>
  [...new Set([...project.openFiles, ...project.host.files()])]
    .filter((other) => other !== file && !project.isLibrary(other))
    .flatMap((other) => [...(project.names(other)?.exports.values() ?? [])])
    .filter((d) => d.kind === "const" || (d.kind === "block" && !d.node.model));

/** Exports of the file named by the import, if its path is already written; otherwise exports of the library. */
function exportsFor(project: Project, file: string, text: string, at: number): readonly Completion[] {
  const from = /^[^}\n]*\}\s*from\s*"([^"\n]*)"/.exec(text.slice(at))?.[1] ?? "std";
  const exports = project.others(file).exportsOf(from) ?? new Map<string, Definition>();
  return [...exports.values()].map((d) => completionOf(project, d));
}

/** The import path that contains the cursor. */
function pathAt(text: string, at: number): { readonly from: number } | null {
  const line = text.slice(text.lastIndexOf("\n", at - 1) + 1, at);
  const match = /\bfrom\s*"([^"]*)$/.exec(line);
  return match ? { from: at - match[1]!.length } : null;
}

function files(project: Project, file: string): readonly Completion[] {
  const paths = project.host.files().flatMap((other) => {
    const edit = other === file ? null : project.importPath(file, other);
    return edit === null ? [] : [edit];
  });
  return ["std", ...paths].map((label) => ({ label, kind: "file", detail: "", doc: "" }));
}
