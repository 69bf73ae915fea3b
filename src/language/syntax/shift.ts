// Moves the parse result of a part of a text to the part's offset.
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import { suggestedAs } from "../diagnostics/suggestions.js";
import type { File } from "./ast.js";
import type { Parsed } from "./parsed.js";

/** A copy with all spans moved by `by`. */
export const shifted = ({ file, diagnostics }: Parsed, by: number): Parsed => ({
  // Casts: a copy has the fields of its original.
  file: copied(file, by) as File,
  diagnostics: diagnostics.map((d) => suggestedAs(copied(d, by) as Diagnostic, d)),
});

/** Copies any kind of node, field by field. */
function copied(node: unknown, by: number): unknown {
  if (typeof node !== "object" || node === null) return node;
  if (Array.isArray(node)) {
    const copy: unknown[] = [];
    for (const item of node) copy.push(copied(item, by));
    return copy;
  }
  const fields = node as Readonly<Record<string, unknown>>;
  if (typeof fields["start"] === "number")
    return { file: fields["file"], start: fields["start"] + by, end: (fields["end"] as number) + by };
  if (typeof fields["num"] === "bigint") return node; // an exact number
  const copy: Record<string, unknown> = {};
  for (const name in fields) copy[name] = copied(fields[name], by);
  return copy;
}
