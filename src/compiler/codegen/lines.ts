// Converts offsets into sources to line numbers, by binary search: a program has thousands of steps.
import type { SourceFile, Span } from "../../language/diagnostics/span.js";

export class LineTable {
  readonly #starts = new Map<string, readonly number[]>();

  constructor(sources: readonly SourceFile[]) {
    for (const { file, text } of sources) {
      const starts = [0];
      for (let i = text.indexOf("\n"); i !== -1; i = text.indexOf("\n", i + 1)) starts.push(i + 1);
      this.#starts.set(file, starts);
    }
  }

  /** The line on which the span starts, counted from 1; 0 if the file's text is unknown. */
  lineOf({ file, start }: Span): number {
    const starts = this.#starts.get(file);
    if (!starts) return 0;
    let low = 0;
    let high = starts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle]! <= start) low = middle;
      else high = middle;
    }
    return low + 1;
  }
}
