// Compiles or checks a file for a command, and prints its diagnostics.
import type { Compiled, SourceOptions } from "../../../compiler/compile.js";
import type { ProgramChoice } from "../../../compiler/recipes.js";
import type { SourceFile } from "../../../language/diagnostics/span.js";
import type { Model } from "../../../language/check/model/model.js";
import type { OpenedModel } from "../../../models/opened/model.js";
import type { Program } from "../../../runtime/program/program.js";
import type { Precision, Target } from "../../../runtime/program/target.js";
import type { Tunings } from "../../../compiler/schedule/tunings/index.js";
import { SourceError } from "../../../language/diagnostics/errors.js";
import type { Read } from "../../../language/check/names/files.js";
import { showDiagnostics } from "../terminal/diagnostics.js";
import { misuse } from "../terminal/exit.js";
import type { ModelFlags, PrecisionFlags } from "../tree/options.js";

/** The precision flags as an option of the library. */
export const precisionOf = ({ weightsAs, activationsAs }: PrecisionFlags): Precision => ({
  ...(weightsAs && { weights: weightsAs }),
  ...(activationsAs && { activations: activationsAs }),
});

/** The name of the selected program, for headings. */
export const programName = (
  { program }: Pick<ModelFlags, "program">,
  { phase, entry }: { readonly phase: string; readonly entry: string },
): string => program ?? `${phase} ${entry}`;

/** The options of `compile` for a model. */
export function compileOptions(
  opened: Pick<OpenedModel, "file" | "read">,
  flags: ModelFlags,
): SourceOptions & ProgramChoice & { readonly read: Read; readonly set: Readonly<Record<string, string>> } {
  const { program, phase = "infer", enter, gradients = false } = flags;
  const contradicts = [flags.phase && "--phase", enter && "--enter", gradients && "--gradients"].find(Boolean);
  if (program !== undefined && contradicts)
    throw misuse(`--program ${program} already chooses the program: ${contradicts} has no effect`, "leave it out");
  if (gradients && (enter ?? (phase === "train" ? "objective" : "forward")) !== "objective")
    throw misuse("--gradients needs a loss, which an objective has", "give --phase train, or --enter objective");
  const choice: ProgramChoice =
    program === undefined ? { phase, gradients, ...(enter === undefined ? {} : { entry: enter }) } : { program };
  return { file: opened.file, read: opened.read, set: flags.set ?? {}, model: flags.model, ...choice };
}

/** Compiles the model for a device, by default with the tunings of its class. */
export type ForTarget = (target: Target, tunings?: Tunings) => Program;

export type Finished = Compiled & {
  readonly forTarget: ForTarget;
  readonly program: NonNullable<Compiled["program"]>;
  readonly graph: NonNullable<Compiled["graph"]>;
  readonly model: Model;
};

/**
 * Compiles a model, for any device if no target is set; prints its warnings with `show`. Throws SourceError if it has
 * errors.
 */
export async function compileFile(
  opened: OpenedModel,
  flags: ModelFlags & PrecisionFlags,
  { target, show = showDiagnostics }: { readonly target?: Target; readonly show?: typeof showDiagnostics } = {},
): Promise<Finished> {
  const { source } = opened;
  const precision = precisionOf(flags);
  const options = { ...compileOptions(opened, flags), precision, ...(target && { target }) };
  const { compile, programFor } = await import("../../../compiler/compile.js");
  const compiled = compile(source.text, options);
  const { program, graph, model } = compiled;
  if (!program || !graph || !model) throw new SourceError(compiled.diagnostics, compiled.sources);
  show(compiled.diagnostics, compiled.sources);
  return {
    ...compiled,
    program,
    graph,
    model,
    forTarget: (target, tunings) => programFor({ graph, model, sources: compiled.sources }, target, tunings, precision),
  };
}

/** Checks a model without compiling it; prints its warnings. Throws SourceError where it has errors. */
export async function checkFile(
  opened: OpenedModel,
  flags: ModelFlags,
): Promise<{ readonly model: Model; readonly sources: readonly SourceFile[] }> {
  const options = compileOptions(opened, flags); // reports contradictory flags before anything is read
  const { checkAs } = await import("../../../compiler/recipes.js");
  const { model, diagnostics, sources } = checkAs(opened.source, options);
  if (!model) throw new SourceError(diagnostics, sources);
  showDiagnostics(diagnostics, sources);
  return { model, sources };
}
