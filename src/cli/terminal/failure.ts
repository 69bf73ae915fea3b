// What a command that fails says: sentences on standard error, or with --json an object on standard output.
import { ModcError } from "../../base/errors.js";
import type { SourceError } from "../../session/errors.js";
import { describeError, type ExitCode } from "./exit.js";
import { io } from "./io.js";
import { error, outJsonLine, say } from "./terminal.js";

/** Tells of a fault, and returns the code to end with. */
export async function report(fault: unknown, json: boolean): Promise<ExitCode> {
  const { exit, code, message, hint } = describeError(fault);
  const source = ofSource(fault);
  if (json) outJsonLine({ exit, ...(source === null ? { code, message, hint, spans: [] } : await asJson(source)) });
  else if (source !== null) (await import("./diagnostics.js")).showDiagnostics(source.diagnostics, source.sources);
  else error(message, hint);
  if (io().env["MODC_DEBUG"] && fault instanceof Error) say(fault.stack ?? "");
  return exit;
}

type OfSource = Pick<SourceError, "diagnostics" | "sources">;

/** By its code, so that telling of other faults loads nothing of the compiler. */
const ofSource = (fault: unknown): OfSource | null =>
  fault instanceof ModcError && fault.code === "source" ? (fault as SourceError) : null; // no other has it

/** The first error as the fault; all findings beside it, as `modc check --json` has them. */
async function asJson({ diagnostics, sources }: OfSource): Promise<object> {
  const { diagnosticJson, spanJson } = await import("./diagnostics.js");
  // there is no such fault without a finding
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
