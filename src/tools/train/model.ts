// Checks a model's source for training: finds its inputs, losses, live parameters and bounds.
import { percentHint } from "../../ground/base/shown.js";
import type { Checked } from "../../language/check/check.js";
import type { Read } from "../../language/check/names/files.js";
import { DENSE } from "../../language/check/instances/overrides.js";
import { isLikelihood } from "../../language/check/model/likelihood.js";
import { inputRanges } from "../../language/check/model/input-ranges.js";
import { reachable, rootsOf } from "../../language/check/model/model-values.js";
import type { Model } from "../../language/check/model/model.js";
import type { Diagnostic } from "../../language/diagnostics/diagnostic.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import { checkAs } from "../../compiler/recipes.js";
import { asProgramWeight } from "../../runtime/program/program.js";
import { SourceError } from "../../language/diagnostics/errors.js";
import { sequenceAxes } from "../../ground/size/axes.js";
import { chosenFrom } from "../../ground/size/count-rules.js";
import { hasContrast } from "./contrast.js";
import { TrainError } from "./errors.js";
import { unmatched, weightHint, weightPatterns } from "./patterns.js";
import type { RunModel } from "./run-options.js";
import { livePoints } from "./settings.js";
import type { TrainSettings } from "./options.js";
import { textInputsOf } from "../../language/check/model/text-inputs.js";

/** A model's source, and a function that reads its imports. */
export interface ModelSource {
  readonly source: SourceFile;
  readonly read: Read;
}

/** Selects a model of a file and sets its parameters, as expressions of the language. */
export interface ModelChoice {
  readonly model?: string | undefined;
  readonly set: Readonly<Record<string, string>>;
}

export interface TrainingModel {
  /** Paths of the trainable weights, without states. */
  readonly learned: readonly string[];
  readonly run: RunModel;
  readonly live: Model["live"];
  /** Maximum length of a sequence in tokens; null: unbounded. */
  readonly bound: number | null;
}

export interface CheckedModel {
  readonly model: TrainingModel;
  /** Warnings of the source. */
  readonly diagnostics: readonly Diagnostic[];
  readonly sources: readonly SourceFile[];
}

/**
 * Checks a model's objective. Throws SourceError for errors of the source, and TrainError for an objective without
 * inputs.
 */
export function trainingModel(text: ModelSource, choice: ModelChoice): CheckedModel {
  const { model, diagnostics, sources } = checkObjective(text, choice, "objective");
  if (!model) throw new SourceError(diagnostics, sources);
  if (model.inputs.length === 0) throw new TrainError("bad-option", `the objective of ${model.name} takes no input`);
  const routed = model.axes.some((a) => a.role === "sequence" && chosenFrom(a.count) !== null);
  const sequences = new Set(model.inputs.flatMap(({ name, type }) => (type.shape.length > 1 ? [name] : [])));
  const ranges = inputRanges(reachable(rootsOf(model)));
  const limits = [...ranges].flatMap(([name, { below }]) => (sequences.has(name) ? [below] : []));
  const run: RunModel = {
    name: model.name,
    parameters: Object.fromEntries(model.parameters.map(({ name, value }) => [name, value])),
    ...withoutDense(choice.set),
    sources: ownSources(text, sources),
    weights: model.weights.map((weight) => asProgramWeight(weight)),
    ignore: model.ignore,
    inputs: textInputsOf(model),
    declared: { name: model.name, inputs: model.inputs, axes: model.axes },
    ranges,
    vocabulary: limits.length === 0 ? null : Math.min(...limits),
    own: model.losses.filter((l) => l.own).map((l) => l.path),
    likelihood: isLikelihood(model),
    routed,
    ...(hasContrast(model) && { compares: true }),
    // A model that is only trained need not have a causal rule.
    rules: routed && checkObjective(text, choice, "evaluate-causal").model !== null ? ["top-k", "causal"] : ["top-k"],
  };
  const learned = model.weights.flatMap((w) => (w.kind === "weight" ? [w.path] : []));
  return { model: { run, learned, live: model.live, bound: longestOf(model) }, diagnostics, sources };
}

/** The unit of the data: tokens, or records if no input lies along a sequence, as with pictures. */
export const unitOf = ({ declared }: Pick<RunModel, "declared">): "tokens" | "records" =>
  sequenceAxes(declared.axes).length > 0 ? "tokens" : "records";

/** Parameters of a model with or without its choices of tokens. */
export const withDense = (set: Readonly<Record<string, string>>, dense: boolean): Readonly<Record<string, string>> => ({
  ...withoutDense(set).set,
  ...(dense && { [DENSE]: "true" }),
});

/** The declared parameters, and whether nothing is skipped. */
function withoutDense(set: Readonly<Record<string, string>>): Pick<RunModel, "set" | "dense"> {
  const declared = Object.entries(set).filter(([name]) => name !== DENSE);
  return { set: Object.fromEntries(declared), dense: Object.hasOwn(set, DENSE) };
}

const checkObjective = (
  { source, read }: ModelSource,
  { model, set }: ModelChoice,
  program: "objective" | "evaluate-causal",
): Checked => checkAs(source, { program, set, read, model });

/** The largest bound of a sequence axis of the inputs; null: one has none, or there is no such axis. */
function longestOf({ axes }: Pick<Model, "axes">): number | null {
  const bounds = axes.flatMap((a) => (a.role === "sequence" && a.count.kind === "input" ? [a.bound] : []));
  return bounds.reduce((a, b) => (a === null || b === null ? null : Math.max(a, b)), bounds[0] ?? null);
}

/** The source files of a model, its own file first, without the standard library and pseudo-files of parameters. */
function ownSources({ source, read }: ModelSource, sources: readonly SourceFile[]): RunModel["sources"] {
  const main = sources.find((s) => s.file === source.file)!;
  const imported = sources.filter((s) => s !== main && typeof read(s.file) === "string");
  return [main, ...imported].map(({ file: path, text }) => ({ path, text }));
}

/** The default context: the model's bound (256 if unbounded), at most 2048. */
export const usualContext = (bound: number | null): number => Math.min(bound ?? 256, 2048);

/**
 * Checks settings against the model: the context, patterns of weights, live parameters and their values. Throws
 * TrainError.
 */
export function checkAgainst(settings: TrainSettings, { bound, live, learned, run }: TrainingModel): void {
  const fail = (message: string, hint: string | null = null): never => {
    throw new TrainError("bad-option", message, { hint });
  };
  if (bound !== null && settings.context > bound)
    fail(`the context is ${settings.context}: ${run.name} allows ${bound}`);
  if (settings.dense && !run.routed)
    fail("dense has no effect: no layer chooses tokens", "leave it out: the model skips nothing");
  const missed = settings.only === "" ? null : unmatched(weightPatterns(settings.only), learned);
  if (missed !== null) fail(`no weight is called ${missed}`, weightHint(missed, learned));
  for (const [name, points] of livePoints(settings)) {
    const found = live.find((l) => l.name === name);
    if (!found)
      return fail(
        `${run.name} has no live parameter ${name}`,
        live.length > 0 ? `it has ${live.map((l) => l.name).join(", ")}` : "declare it: live capacity: ratio = 12.5%",
      );
    const wrong = found.kind === "ratio" ? points.find(({ value }) => value < 0 || value > 1) : undefined;
    if (wrong)
      fail(`${name} is ${wrong.value} at step ${wrong.step}: a ratio is between 0 and 1`, percentHint(wrong.value));
  }
}
