// The parser's interface: text → syntax tree. Its types do not mention the parser library, which users of modc do not
// install.
import { Diagnostics, suggestedAs, withSources, type Diagnostic } from "../diagnostics/diagnostic.js";
import type { SourceFile } from "../diagnostics/span.js";
import { MAX_ERRORS } from "./limits.js";
import { parseTree } from "./parse-tree.js";
import type { Parsed } from "./parsed.js";
import type { File } from "./ast.js";
export type { Parsed } from "./parsed.js";

/** The parse result of a part of a text, at its offset. */
export interface Part {
  readonly at: number;
  /** Whether more text follows the part. */
  readonly more: boolean;
  readonly parsed: Parsed;
}

export type Parts = ReadonlyMap<string, Part>;

/**
 * Parses a source; never throws for a fault of the source. A tree with diagnostics is partial: tools may use it, the
 * checker must not.
 */
export const parse = (source: SourceFile): Parsed => parseAgain(source, new Map()).parsed;

/** Parses a source and reuses the parts that were parsed before. */
export function parseAgain(source: SourceFile, before: Parts): { readonly parsed: Parsed; readonly parts: Parts } {
  const { file, text } = source;
  const parts = new Map<string, Part>();
  const all: Parsed[] = [];
  let errors = 0;
  for (const { start, end } of rangesOf(text)) {
    if (errors >= MAX_ERRORS) break;
    const partText = text.slice(start, end);
    const more = end < text.length;
    let part = before.get(partText) ?? parts.get(partText);
    if (part?.more !== more) part = { at: 0, more, parsed: parseTree({ file, text: partText }, more) };
    if (part.at !== start) part = { at: start, more, parsed: shifted(part.parsed, start - part.at) };
    parts.set(partText, part);
    all.push(part.parsed);
    errors += part.parsed.diagnostics.filter((d) => d.severity === "error").length;
  }
  const diagnostics = new Diagnostics();
  for (const part of all) for (const d of part.diagnostics) diagnostics.add(d);
  return {
    parsed: {
      file: {
        kind: "file",
        file,
        imports: all.flatMap((p) => p.file.imports),
        declarations: all.flatMap((p) => p.file.declarations),
        allows: all.flatMap((p) => p.file.allows),
        span: { file, start: 0, end: text.length },
      },
      diagnostics: withSources(diagnostics.all, [source]),
    },
    parts,
  };
}

/** A long text is one part, so that the limits of a file apply to the whole text. */
const rangesOf = (text: string): readonly Range[] =>
  text.length > LONG ? [{ start: 0, end: text.length }] : declarationRanges(text);

const LONG = 1_000_000;

/** A copy with all spans moved by `by`. */
const shifted = ({ file, diagnostics }: Parsed, by: number): Parsed => ({
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

/** A range of the text: a declaration with the comments above it, or several declarations that share a line. */
interface Range {
  readonly start: number;
  readonly end: number;
}

/** The parts of a text, in order, without gaps. */
function declarationRanges(text: string): readonly Range[] {
  const starts = [0];
  /** The offset after the last line of code. */
  let codeEnd = 0;
  for (let start = text.startsWith("\ufeff") ? 1 : 0; start < text.length;) {
    const newline = text.indexOf("\n", start);
    const next = newline === -1 ? text.length : newline + 1;
    if (codeEnd > 0 && WORDS.has(text[start]!) && BEGINS.test(text.slice(start, next))) starts.push(codeEnd);
    if (!isBlankOrComment(text, start, next)) codeEnd = next;
    start = next;
  }
  return starts.map((start, i) => ({ start, end: starts[i + 1] ?? text.length }));
}

/** A line that matches either starts a new declaration or contains a fault. */
const BEGINS = /^(?:import[ \t]*\{|(?:const|block|model)[ \t]+[A-Za-z_])/;
const WORDS: ReadonlySet<string> = new Set(["i", "c", "b", "m"]);

/** Whether a line is empty or a comment. */
function isBlankOrComment(text: string, start: number, end: number): boolean {
  let i = start;
  while (i < end && (text[i] === " " || text[i] === "\t" || text[i] === "\r" || text[i] === "\n")) i++;
  return i === end || (text[i] === "/" && text[i + 1] === "/");
}
