// The editor's view of a source: the compiler's diagnostics with their positions, and the parameters that can be set.
import { countOf } from "../../../src/ground/base/collections.js";
import { catalogue } from "../../../src/language/diagnostics/catalogue.js";
import type { Severity } from "../../../src/language/diagnostics/codes/define.js";
import type { Diagnostic } from "../../../src/language/diagnostics/diagnostic.js";
import { formatDiagnostics } from "../../../src/language/diagnostics/format.js";
import { parse } from "../../../src/language/syntax/parse.js";
import type { Source } from "../source.js";
import { compiledOf, FILE } from "./memo.js";

export interface Problem {
  readonly severity: Severity;
  readonly code: string;
  readonly message: string;
  /** Hint and notes, one line each. */
  readonly more: readonly string[];
  /** The explanation of the diagnostic's code, and how to fix the fault. */
  readonly explain: string;
  /** Offsets into the source; null: the diagnostic is in a parameter that was set. */
  readonly at: { readonly from: number; readonly to: number } | null;
}

export interface Parameter {
  readonly name: string;
  /** The default in the source; empty: none. */
  readonly usual: string;
  readonly doc: string | null;
}

export interface Checked {
  readonly problems: readonly Problem[];
  /** The diagnostics as a terminal shows them. */
  readonly report: string;
  /** The model, as far as the source can be read; null: there is none. */
  readonly model: { readonly name: string; readonly parameters: readonly Parameter[] } | null;
  /** The number of values in all weights; null if the source has errors. */
  readonly weights: number | null;
}

export function checkedOf(source: Source): Checked {
  const { checked } = compiledOf(source);
  const { diagnostics, sources, model } = checked;
  return {
    problems: diagnostics.map(problemOf),
    report: formatDiagnostics(diagnostics, { sources }),
    model: modelOf(source.text),
    weights: model === null ? null : model.weights.reduce((sum, { shape }) => sum + countOf(shape), 0),
  };
}

function problemOf({ severity, code, message, hint, notes, span }: Diagnostic): Problem {
  const more = [...(hint === null ? [] : [`hint: ${hint}`]), ...notes.map((n) => `note: ${n.text}`)];
  return {
    severity,
    code,
    message,
    more,
    explain: catalogue[code].explain.trim(),
    at: span.file === FILE ? { from: span.start, to: span.end } : null,
  };
}

function modelOf(text: string): Checked["model"] {
  const { file } = parse({ file: FILE, text });
  const found = file.declarations.find((d) => d.kind === "block" && d.model);
  if (found?.kind !== "block") return null;
  const parameters = found.params.map((p) => ({
    name: p.name.text,
    usual: p.default === null ? "" : text.slice(p.default.span.start, p.default.span.end),
    doc: p.doc,
  }));
  return { name: found.name.text, parameters };
}
