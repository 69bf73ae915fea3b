// The parser as others see it: text → syntax tree. Its types name nothing of the parser's library, which users of modc
// do not install.
import type { SourceFile } from "../diagnostics/span.js";
import { parseTree } from "./parse-tree.js";
import type { Parsed } from "./parsed.js";

export type { Parsed } from "./parsed.js";

/**
 * Parses a source; never throws for a fault of the source. A tree that comes with diagnostics is partial: tools may use
 * it, the checker must not.
 */
export function parse(source: SourceFile): Parsed {
  const { file, diagnostics } = parseTree(source);
  return { file, diagnostics };
}
