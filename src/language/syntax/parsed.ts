// The result of parsing a source.
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { File } from "./ast.js";

export interface Parsed {
  /** The syntax tree without the statements, members and declarations that could not be parsed. */
  readonly file: File;
  readonly diagnostics: readonly Diagnostic[];
}
