// Definitions, references and renaming, within a file and across the files of the workspace.
import { RESERVED } from "../../../grammar/words.js";
import { builtins } from "../check/builtins/index.js";
import { compileTimeFunctions } from "../check/eval/compile-time.js";
import type { Span } from "../diagnostics/span.js";
import { keyOf, type Definition } from "../names/definitions.js";
import { occurrenceAt, type Occurrence } from "./occurrences.js";
import type { Project } from "./project.js";
import { phases } from "./definition-text.js";

/** The definitions of the name at a place; for an import path, the imported file. */
export function definitionsAt(project: Project, file: string, offset: number): readonly Span[] {
  const names = project.names(file);
  const occurrence = names && occurrenceAt(names, offset);
  if (occurrence) return occurrence.definitions.map((d) => d.name.span);
  for (const i of project.parsed(file)?.file.imports ?? []) {
    const target = offset >= i.fromSpan.start && offset <= i.fromSpan.end ? project.importOf(file, i.from) : null;
    if (target !== null && project.textOf(target) !== null) return [{ file: target, start: 0, end: 0 }];
  }
  return [];
}

/** Every mention of the definition that the name at a place refers to. */
export function referencesAt(
  project: Project,
  file: string,
  offset: number,
  { declaration }: { readonly declaration: boolean },
): readonly Span[] {
  const names = project.names(file);
  const occurrence = names && occurrenceAt(names, offset);
  if (!occurrence) return [];
  const keys = new Set(occurrence.definitions.map(keyOf));
  return mentionsOf(project, keys, filesOf(project, occurrence.definitions)).flatMap(({ span, definitions }) =>
    declaration || !definitions.some((d) => isPlace(d, span)) ? [span] : [],
  );
}

const isPlace = ({ name }: Definition, { file, start }: Span): boolean =>
  name.span.file === file && name.span.start === start;

/** The files that may mention a definition: all files, or only its own file if the name is local to a function. */
function filesOf(project: Project, definitions: readonly Definition[]): readonly string[] {
  const local = definitions.every((d) => d.kind === "local" || d.kind === "each" || d.kind === "axis");
  const declaring = definitions.map((d) => d.name.span.file);
  return [...new Set(local ? declaring : [...declaring, ...project.openFiles, ...project.host.files()])];
}

function mentionsOf(project: Project, keys: ReadonlySet<string>, files: readonly string[]): readonly Occurrence[] {
  return files.flatMap((f) =>
    (project.names(f)?.occurrences ?? []).filter((o) => o.definitions.some((d) => keys.has(keyOf(d)))),
  );
}

export type Renaming =
  | { readonly edits: readonly Span[]; readonly refused?: undefined }
  /** Why the name cannot be changed. */
  | { readonly refused: string };

/** The name at a place that can be renamed, or why it cannot. */
export function renamable(
  project: Project,
  file: string,
  offset: number,
): { readonly span: Span; readonly refused?: undefined } | { readonly refused: string } {
  const names = project.names(file);
  const occurrence = names && occurrenceAt(names, offset);
  if (!occurrence) return { refused: "put the cursor on a name" };
  if (occurrence.definitions.length === 0) return { refused: "this name is not declared in the files of the project" };
  const foreign = occurrence.definitions.find((d) => project.isLibrary(d.name.span.file));
  if (foreign) return { refused: `the standard library declares \`${foreign.name.text}\`` };
  const fixed = occurrence.definitions.find(
    (d) => d.kind === "function" && (d.name.text === "forward" || d.name.text === "objective"),
  );
  if (fixed) return { refused: `\`${fixed.name.text}\` is a name that the language defines` };
  return { span: occurrence.span };
}

export function renamingAt(project: Project, file: string, offset: number, to: string): Renaming {
  const can = renamable(project, file, offset);
  if (can.refused !== undefined) return can;
  if (!/^[A-Za-z_]\w*$/.test(to)) return { refused: `"${to}" is not a name: letters, digits and _, a letter first` };
  if (RESERVED.some((word) => word === to)) return { refused: `\`${to}\` is a word of the language` };
  const start = occurrenceAt(project.names(file)!, offset)!.definitions;
  const axis = start.find((d) => d.kind === "axis");
  if (axis && !/^[A-Z]/.test(to)) return { refused: "the name of an axis begins with a capital letter" };
  // If a mention may be a member of several blocks, their members must be renamed together.
  const all = new Map(start.map((d) => [keyOf(d), d]));
  let mentions: readonly Occurrence[] = [];
  for (let size = 0; size !== all.size;) {
    size = all.size;
    mentions = mentionsOf(project, new Set(all.keys()), filesOf(project, [...all.values()]));
    for (const o of mentions) for (const d of o.definitions) all.set(keyOf(d), d);
  }
  const foreign = [...all.values()].find((d) => project.isLibrary(d.name.span.file));
  if (foreign) return { refused: `\`${foreign.name.text}\` is also a member of a standard library block` };
  const clash = clashOf(project, [...all.values()], mentions, to);
  return clash === null ? { edits: mentions.map((m) => m.span) } : { refused: clash };
}

/** The reason why the new name would collide with another name; null if there is no collision. */
function clashOf(
  project: Project,
  definitions: readonly Definition[],
  mentions: readonly Occurrence[],
  to: string,
): string | null {
  if (builtins.has(to) || compileTimeFunctions.has(to) || phases.has(to)) return `\`${to}\` is a name of the language`;
  const renamed = new Set(definitions.map(keyOf));
  const isOther = (d: Definition | undefined): boolean => d !== undefined && !renamed.has(keyOf(d));
  for (const d of definitions) {
    const names = project.names(d.name.span.file);
    if (names?.definitions.some((o) => o.name.text === to && isOther(o) && overlaps(o, d)))
      return `\`${to}\` is already a name in this scope`;
  }
  for (const file of new Set(mentions.map(({ span }) => span.file))) {
    const names = project.names(file);
    if (isOther(names?.exports.get(to)) || isOther(names?.imported.get(to)))
      return `\`${to}\` is already a name in a file that uses it`;
  }
  return null;
}

/** Whether the ranges of two names overlap. Members and named inputs may also be looked up through their owners. */
function overlaps(a: Definition, b: Definition): boolean {
  const ends = (d: Definition): readonly [number, number] =>
    d.kind === "local" && "fn" in d ? [d.fn.span.start, d.fn.span.end] : [d.from, d.to];
  const [[aFrom, aTo], [bFrom, bTo]] = [ends(a), ends(b)];
  return aFrom <= bTo && bFrom <= aTo;
}
