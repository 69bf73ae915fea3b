// `modc check`: finds errors and warnings, in infer and, if there is an objective, in train.
import { review, type Review } from "../../../language/check/review.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import { EXIT, type ExitCode } from "../terminal/exit.js";
import { diagnosticJson, showDiagnostics } from "../terminal/diagnostics.js";
import { sourceJson } from "../terminal/failure.js";
import { compileOptions } from "../source/frontend.js";
import { STDIN, STDIN_NAME } from "../source/files.js";
import { out, outJson, outJsonLine } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { sourceCommands } from "../tree/source.js";

type CheckFlags = Flags<typeof sourceCommands.check>;

/**
 * Several models are checked one after the other unless `--model` chooses; a file without one is a library, whose text
 * and names are checked.
 */
export async function check(opened: OpenedModel, flags: CheckFlags): Promise<ExitCode> {
  const { source } = opened;
  const { phase, entry, model, set, read } = compileOptions(opened, flags);
  const steps = review(source, {
    set,
    read,
    ...(flags.phase === undefined || phase === undefined ? {} : { phase }),
    ...(entry === undefined ? {} : { entry }),
    ...(model === undefined ? {} : { model }),
  });
  let step = steps.next();
  while (!step.done) step = steps.next();
  return report(opened.path, step.value, flags);
}

async function report(
  file: string,
  { diagnostics: found, sources, library, checked }: Review,
  flags: CheckFlags,
): Promise<ExitCode> {
  const errors = found.filter((d) => d.severity === "error").length;
  const warnings = found.filter((d) => d.severity === "warning").length;
  const exit = errors === 0 ? EXIT.fine : EXIT.user;
  const name = file === STDIN ? STDIN_NAME : file;
  if (flags.json) {
    const counts = { file: name, errors, warnings };
    if (exit === EXIT.fine) outJson({ ...counts, diagnostics: found.map((d) => diagnosticJson(d, sources)) });
    else outJsonLine({ exit, ...(await sourceJson({ diagnostics: found, sources })), ...counts });
  } else {
    showDiagnostics(found, sources);
    const what = library ? "a library without a model" : checked.join(", ");
    out(
      `${name}: ${errors === 0 ? what : ""}${errors === 0 ? ": " : ""}${count(errors, "error")}, ` +
        count(warnings, "warning"),
    );
  }
  return exit;
}

const count = (n: number, what: string): string => `${n === 0 ? "no" : n} ${what}${n === 1 ? "" : "s"}`;
