// Places in source text.

/** A stretch of one file, as offsets into its text (UTF-16 code units), end exclusive. */
export interface Span {
  /** As shown to the user and given to `read`: `moby.mod`, `std/mod.mod`. */
  readonly file: string;
  readonly start: number;
  readonly end: number;
}

/** A file the compiler has read. */
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
