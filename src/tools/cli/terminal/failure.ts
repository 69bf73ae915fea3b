// Reports the failure of a command: sentences on standard error, or with --json an object on standard output.
import { ModcError } from "../../../ground/base/errors.js";
import type { SourceError } from "../../../language/diagnostics/errors.js";
import { describeError, type ExitCode } from "./exit.js";
import { io } from "./io.js";
import { error, outJsonLine, say } from "./terminal.js";

/** Reports a fault, and returns the exit code. */
export async function report(fault: unknown, json: boolean): Promise<ExitCode> {
  const { exit, code, message, hint } = describeError(fault);
  const source = ofSource(fault);
  if (json) outJsonLine({ exit, ...(source === null ? { code, message, hint, spans: [] } : await sourceJson(source)) });
  else if (source !== null) (await import("./diagnostics.js")).showDiagnostics(source.diagnostics, source.sources);
  else error(message, hint);
  if (io().env["MODC_DEBUG"] && fault instanceof Error) say(fault.stack ?? "");
  return exit;
}

type OfSource = Pick<SourceError, "diagnostics" | "sources">;

/** Recognizes a SourceError by its code, so that reporting other faults does not import the compiler. */
const ofSource = (fault: unknown): OfSource | null =>
  fault instanceof ModcError && fault.code === "source" ? (fault as SourceError) : null; // no other class has it

/** The first error as the fault, and all diagnostics. */
export async function sourceJson({ diagnostics, sources }: OfSource): Promise<object> {
  const { diagnosticJson, spanJson } = await import("./diagnostics.js");
  // a SourceError has at least one diagnostic
  const first = diagnostics.find((d) => d.severity === "error") ?? diagnostics[0]!;
  const spans = [first.span, ...first.notes.flatMap(({ span }) => (span === null ? [] : [span]))];
  return {
    code: first.code,
    message: first.message,
    hint: first.hint,
    spans: spans.map((span) => spanJson(span, first, sources)),
    diagnostics: diagnostics.map((d) => diagnosticJson(d, sources)),
  };
}
