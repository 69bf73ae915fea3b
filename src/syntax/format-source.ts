// `modc fmt`: source text in its one canonical form, with every comment kept.
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { Tokens } from "./format/comments.js";
import { print, type Line } from "./format/doc.js";
import { file as fileDoc } from "./format/items.js";
import { parseTree } from "./parse.js";

/** Columns that lines of code keep to where they can; comments may be longer. */
export const WIDTH = 100;

export interface Formatted {
  /** Null where the text has errors: it is then left as it is. */
  readonly text: string | null;
  readonly diagnostics: readonly Diagnostic[];
}

/**
 * The canonical form: two blanks a level, lines of 100 columns, signs of neighbouring members and bindings aligned.
 * The author decides on empty lines (one at most), on bodies of one item in one line, and where a long list breaks.
 * Formatting twice changes nothing, and the syntax tree stays what it was.
 */
export function formatSource(text: string, file: string): Formatted {
  const { tree, diagnostics } = parseTree({ file, text });
  if (!tree || diagnostics.some((d) => d.severity === "error")) return { text: null, diagnostics };
  const tokens = new Tokens(text, tree.tokens, tree.comments);
  const lines = print(fileDoc(tokens, tree.cst), WIDTH);
  const result = withComments(lines).join("\n").trim();
  return { text: result === "" ? "" : `${result}\n`, diagnostics };
}

/**
 * Comments behind neighbouring lines stand in one column: where their author put them, or else two blanks behind the
 * longest line.
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
