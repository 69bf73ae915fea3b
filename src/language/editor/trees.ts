// Parses edited texts incrementally: only declarations that changed are parsed again.
import type { SourceFile } from "../diagnostics/span.js";
import { parseAgain, type Parsed, type Parts } from "../syntax/parse.js";

/** Caches the last tree of each file. The result equals `parse`'s result. */
export class Trees {
  readonly #known = new Map<string, { readonly text: string; readonly parsed: Parsed; readonly parts: Parts }>();

  readonly parse = (source: SourceFile): Parsed => {
    const { file, text } = source;
    const before = this.#known.get(file);
    if (before?.text === text) return before.parsed;
    const known = { text, ...parseAgain(source, before?.parts ?? new Map()) };
    this.#known.set(file, known);
    return known.parsed;
  };

  forget(file: string): void {
    this.#known.delete(file);
  }
}
