// Spans of source text, source files, and line and column of an offset.

/** A range of one file, as offsets into its text (UTF-16 code units), end exclusive. */
export interface Span {
  /** The file name as shown to the user and passed to `read`: `moby.mod`, `std/mod.mod`. */
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

/** A source file: its name and text. */
export interface SourceFile {
  readonly file: string;
  readonly text: string;
}

/** Line and column of an offset, both from 1; columns count UTF-16 code units. */
export function lineAndColumn(text: string, offset: number): { readonly line: number; readonly column: number } {
  let line = 1;
  let start = 0;
  for (let i = text.indexOf("\n"); i !== -1 && i < offset; i = text.indexOf("\n", i + 1)) {
    line++;
    start = i + 1;
  }
  return { line, column: offset - start + 1 };
}

/**
 * Returns a function that formats a span as `moby.mod:3:4`. Results are cached, since a graph has far fewer places than
 * nodes.
 */
export function placer(sources: readonly SourceFile[]): (span: Span) => string {
  const texts = new Map(sources.map((s) => [s.file, s.text]));
  const found = new Map<string, string>();
  return ({ file, start }) => {
    const key = `${file}@${start}`;
    let position = found.get(key);
    if (position === undefined) {
      const { line, column } = lineAndColumn(texts.get(file) ?? "", start);
      found.set(key, (position = `${file}:${line}:${column}`));
    }
    return position;
  };
}
