// `modc check`: finds errors and warnings, in infer and, where there is an objective, in train.
import { check as checkSource, type Checked } from "../../check/check.js";
import { generationNotes, unusedAllows } from "../../check/review.js";
import { Diagnostics, type Diagnostic } from "../../diagnostics/diagnostic.js";
import type { SourceFile } from "../../diagnostics/span.js";
import type { Block, Member } from "../../syntax/ast.js";
import { parse } from "../../syntax/parse.js";
import { EXIT, type ExitCode } from "../terminal/exit.js";
import { diagnosticJson, showDiagnostics } from "../terminal/diagnostics.js";
import { sourceJson } from "../terminal/failure.js";
import { compileOptions } from "../source/frontend.js";
import { STDIN, STDIN_NAME } from "../source/files.js";
import { readModel } from "../source/model-file.js";
import { out, outJson, outJsonLine } from "../terminal/terminal.js";
import type { Flags } from "../tree/declare.js";
import type { sourceCommands } from "../tree/source.js";
import type { ModelFlags } from "../tree/options.js";

type CheckFlags = Flags<typeof sourceCommands.check>;

/**
 * Several models are checked one after the other unless `--model` chooses; a file without one is a library, whose text
 * and names are checked.
 */
export async function check(file: string, flags: CheckFlags): Promise<ExitCode> {
  const source = await readModel(file);
  const models = parse(source)
    .file.declarations.filter((d) => d.kind === "block")
    .filter((d) => d.model);
  const found = new Diagnostics();
  const sources = new Map<string, SourceFile>();
  const checked: string[] = [];
  const all: Checked[] = [];
  for (const pass of passesOf(models, flags)) {
    const { phase = "infer", entry, model, set, read } = compileOptions(file, { ...flags, ...pass });
    const result = checkSource(source, {
      phase,
      set,
      read,
      ...(entry === undefined ? {} : { entry }),
      ...(model === undefined ? {} : { model }),
    });
    for (const s of result.sources) sources.set(s.file, s);
    for (const d of result.diagnostics) if (d.code !== "no-model" || flags.model !== undefined) found.add(d);
    if (phase === "infer" && flags.phase === undefined)
      for (const note of generationNotes(source, { set, read, ...(model === undefined ? {} : { model }) }, result))
        found.add(note);
    all.push(result);
    checked.push(result.model ? `${result.model.name} (${phase})` : phase);
  }
  // Unused suppressions can be reported only if all models and phases were checked.
  if (flags.phase === undefined && flags.enter === undefined && flags.model === undefined && !found.hasErrors)
    for (const d of unusedAllows(all)) found.add(d);
  return report(file, found.all, sources, models.length === 0 && flags.model === undefined, checked, flags);
}

/** The passes of checking: each selected model in each selected phase. */
function passesOf(models: readonly Block[], flags: CheckFlags): readonly Pick<ModelFlags, "phase" | "model">[] {
  const chosen = flags.model === undefined ? models : models.filter((m) => m.name.text === flags.model);
  if (chosen.length === 0) return [flags.phase === undefined ? {} : { phase: flags.phase }];
  return chosen.flatMap((model) => {
    const phases =
      flags.phase !== undefined
        ? [flags.phase]
        : flags.enter === undefined && hasObjective(model.members)
          ? (["infer", "train"] as const)
          : (["infer"] as const);
    return phases.map((phase) => ({ phase, model: model.name.text }));
  });
}

const hasObjective = (members: readonly Member[]): boolean =>
  members.some(
    (m) =>
      (m.kind === "function" && m.name.text === "objective") ||
      (m.kind === "member-if" && (hasObjective(m.then) || hasObjective(m.else))),
  );

async function report(
  file: string,
  found: readonly Diagnostic[],
  sources: ReadonlyMap<string, SourceFile>,
  library: boolean,
  checked: readonly string[],
  flags: CheckFlags,
): Promise<ExitCode> {
  const errors = found.filter((d) => d.severity === "error").length;
  const warnings = found.filter((d) => d.severity === "warning").length;
  const exit = errors === 0 ? EXIT.fine : EXIT.user;
  const name = file === STDIN ? STDIN_NAME : file;
  if (flags.json) {
    const counts = { file: name, errors, warnings };
    const all = [...sources.values()];
    if (exit === EXIT.fine) outJson({ ...counts, diagnostics: found.map((d) => diagnosticJson(d, all)) });
    else outJsonLine({ exit, ...(await sourceJson({ diagnostics: found, sources: all })), ...counts });
  } else {
    showDiagnostics(found, [...sources.values()]);
    const what = library ? "a library without a model" : checked.join(", ");
    out(
      `${name}: ${errors === 0 ? what : ""}${errors === 0 ? ": " : ""}${count(errors, "error")}, ` +
        count(warnings, "warning"),
    );
  }
  return exit;
}

const count = (n: number, what: string): string => `${n === 0 ? "no" : n} ${what}${n === 1 ? "" : "s"}`;
