// Parses texts again and again as they are edited: only declarations that changed are parsed anew.
import type { SourceFile } from "../diagnostics/span.js";
import { parseAgain, type Parsed, type Parts } from "../syntax/parse.js";

/** Keeps the last tree of each file. What it returns is what `parse` returns. */
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
