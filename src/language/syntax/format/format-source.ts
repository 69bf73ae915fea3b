// `modc fmt`: formats source text in its canonical form, with all comments.
import type { Diagnostic } from "../../diagnostics/diagnostic.js";
import { Tokens } from "./comments.js";
import { print, type Line } from "./doc.js";
import { file as fileDoc } from "./items.js";
import { parse } from "../parse.js";
import { parseTree } from "../parse-tree.js";

/** The maximum width of code lines, if breaks allow it; comments may be longer. */
export const WIDTH = 100;

export interface Formatted {
  /** The formatted text; null if the text has errors and must stay unchanged. */
  readonly text: string | null;
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * Formats in the canonical form: indentation of two blanks, lines of at most 100 columns, the `:` and `=` of
 * neighbouring members and bindings aligned. The author chooses blank lines (one at most), whether a body of one item
 * is on one line, and whether a long list is broken. Formatting is idempotent and preserves the syntax tree.
 */
export function formatSource(text: string, file: string): Formatted {
  const { diagnostics } = parse({ file, text });
  if (hasErrors(diagnostics)) return { text: null, diagnostics };
  const { tree, diagnostics: ofWhole } = parseTree({ file, text });
  if (!tree || hasErrors(ofWhole)) return { text: null, diagnostics: ofWhole };
  const tokens = new Tokens(text, tree.tokens, tree.comments);
  const lines = print(fileDoc(tokens, tree.cst), WIDTH);
  const result = withComments(lines).join("\n").trim();
  return { text: result === "" ? "" : `${result}\n`, diagnostics };
}

const hasErrors = (diagnostics: readonly Diagnostic[]): boolean => diagnostics.some((d) => d.severity === "error");

/**
 * Aligns the trailing comments of neighbouring lines in one column: at the author's column, or else two blanks after
 * the longest line.
 */
function withComments(lines: readonly Line[]): readonly string[] {
  const result: string[] = [];
  for (let start = 0; start < lines.length;) {
    let end = start;
    while (lines[end]?.comment) end++;
    if (end === start) {
      result.push(lines[start]!.code);
      start++;
      continue;
    }
    const run = lines.slice(start, end);
    const longest = run.reduce((most, l) => Math.max(most, l.code.length), 0);
    const columns = new Set(run.map((l) => l.code.length + l.comment!.gap));
    const [authors] = columns;
    const column = columns.size === 1 && authors! >= longest + 2 ? authors! : longest + 2;
    for (const l of run) result.push(l.code.padEnd(column) + l.comment!.text);
    start = end;
  }
  return result;
}
