// The parser's interface: text → syntax tree. Its types do not mention the parser library, which users of modc do not
// install.
import { Diagnostics } from "../diagnostics/diagnostic.js";
import { withSources } from "../diagnostics/sources.js";
import type { SourceFile } from "../diagnostics/span.js";
import { MAX_ERRORS } from "./limits.js";
import type { Parsed } from "./parsed.js";
import { parseTree } from "./parse-tree.js";
import { partsOf, type Stretch } from "./parts.js";
import { shifted } from "./shift.js";

export type { Parsed } from "./parsed.js";

/** The parse result of a part of a text, at its offset. */
export interface Part {
  readonly at: number;
  /** Whether further parts followed. */
  readonly more: boolean;
  readonly parsed: Parsed;
}

/** Parsed parts by their text. */
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
  for (const { start, end } of stretchesOf(text)) {
    if (errors >= MAX_ERRORS) break;
    const own = text.slice(start, end);
    const more = end < text.length;
    let part = before.get(own) ?? parts.get(own);
    if (part?.more !== more) part = { at: 0, more, parsed: parseTree({ file, text: own }, more) };
    if (part.at !== start) part = { at: start, more, parsed: shifted(part.parsed, start - part.at) };
    parts.set(own, part);
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
const stretchesOf = (text: string): readonly Stretch[] =>
  text.length > LONG ? [{ start: 0, end: text.length }] : partsOf(text);

const LONG = 1_000_000;
