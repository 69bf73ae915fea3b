// Computes the edit that imports names into a file.
import type { Project } from "./project.js";

/** A replacement of a part of a text. */
export interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Imports names that another file declares; null if the file cannot import from there. */
export function importOfNames(
  project: Project,
  file: string,
  names: readonly string[],
  declaredIn: string,
): (Edit & { readonly from: string }) | null {
  const from = project.importPath(file, declaredIn);
  const tree = project.parsed(file)?.file;
  if (from === null || !tree) return null;
  const listed = names.join(", ");
  const last = tree.imports.find((i) => i.from === from)?.names.at(-1);
  if (last) return { start: last.span.end, end: last.span.end, text: `, ${listed}`, from };
  const after = tree.imports.at(-1)?.span.end;
  const line = `import { ${listed} } from ${JSON.stringify(from)}`;
  if (after !== undefined) return { start: after, end: after, text: `\n${line}`, from };
  const text = project.textOf(file) ?? "";
  const head = headEnd(text);
  return { start: head, end: head, text: `${line}\n${/^\s*\n/.test(text.slice(head)) ? "" : "\n"}`, from };
}

/** The end of the comments at the top of a file, if an empty line separates them from the rest. */
function headEnd(text: string): number {
  const start = text.startsWith("\ufeff") ? 1 : 0;
  const head = /^(?:\/\/(?!\/)[^\n]*\n)+(?=\s*\n)/.exec(text.slice(start));
  return start + (head ? head[0].length : 0);
}
