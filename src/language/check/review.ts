// The complete check of a source, as shown by `modc check` and editors: every model in every phase that concerns it.
import { growingAxes } from "./checks/causality.js";
import type { Entry, Model, Phase } from "./model/model.js";
import { axesOfModel } from "./model/model-values.js";
import { tokensAmong } from "./model/text-inputs.js";
import { sequenceOf } from "./model/types.js";
import { diagnose, Diagnostics, withSources, type Diagnostic } from "../diagnostics/diagnostic.js";
import type { SourceFile, Span } from "../diagnostics/span.js";
import type { Block, Member } from "../syntax/ast.js";
import { parse } from "../syntax/parse.js";
import { check, type Checked, type CheckOptions } from "./check.js";

/** The limit on notes about obstacles to generation. */
const MAX_NOTES = 3;

/** Phase, entry and model restrict the check; without them everything in the source is checked. */
export type ReviewOptions = Omit<CheckOptions, "phase"> & { readonly phase?: Phase };

/** A step of a review: the result of a single check. */
export interface ReviewStep {
  readonly checked: Checked;
  readonly phase: Phase;
  /** The model that was checked; null in a source without one. */
  readonly model: string | null;
}

export interface Review {
  /** Errors, warnings and notes, in order of place. */
  readonly diagnostics: readonly Diagnostic[];
  /** Every source that was read. */
  readonly sources: readonly SourceFile[];
  /** The names of error-free checks, such as `Moby (train)`; or the phase. */
  readonly checked: readonly string[];
  /** By model, the notes that explain why it cannot generate. */
  readonly obstacles: ReadonlyMap<string, readonly Diagnostic[]>;
  /** Whether the source has no model, and none was asked for. */
  readonly library: boolean;
}

/** Checks one model in one phase at each step, so that a caller can stop between them. */
export function* review(source: SourceFile, options: ReviewOptions): Generator<ReviewStep, Review> {
  const models = (options.parse ?? parse)(source)
    .file.declarations.filter((d) => d.kind === "block")
    .filter((d) => d.model);
  const diagnostics = new Diagnostics();
  const sources = new Map<string, SourceFile>();
  const names: string[] = [];
  const obstacles = new Map<string, readonly Diagnostic[]>();
  const all: Checked[] = [];
  const take = (checked: Checked): void => {
    for (const s of checked.sources) sources.set(s.file, s);
    for (const d of checked.diagnostics) if (d.code !== "no-model" || options.model !== undefined) diagnostics.add(d);
    all.push(checked);
  };
  for (const { phase, model } of passesOf(models, options)) {
    const { phase: _, ...rest } = options;
    const chosen = { ...rest, ...(model === null ? {} : { model }) };
    const checked = check(source, { ...chosen, phase });
    take(checked);
    names.push(checked.model ? `${checked.model.name} (${phase})` : phase);
    yield { checked, phase, model };
    if (phase !== "infer" || options.phase !== undefined) continue;
    const notes = generationNotes(source, chosen, checked);
    if (model !== null) obstacles.set(model, notes);
    for (const note of notes) diagnostics.add(note);
  }
  // Unused suppressions can be reported only if all models and phases were checked.
  if (
    options.phase === undefined &&
    options.entry === undefined &&
    options.model === undefined &&
    !diagnostics.hasErrors
  )
    for (const d of unusedAllows(all)) diagnostics.add(d);
  return {
    diagnostics: diagnostics.all,
    sources: [...sources.values()],
    checked: names,
    obstacles,
    library: models.length === 0 && options.model === undefined,
  };
}

/** Each selected model in each selected phase. */
function passesOf(
  models: readonly Block[],
  options: ReviewOptions,
): readonly { readonly phase: Phase; readonly model: string | null }[] {
  const chosen = options.model === undefined ? models : models.filter((m) => m.name.text === options.model);
  if (chosen.length === 0) return [{ phase: options.phase ?? "infer", model: options.model ?? null }];
  return chosen.flatMap((model) => {
    const phases: readonly Phase[] =
      options.phase !== undefined
        ? [options.phase]
        : options.entry === undefined && hasObjective(model.members)
          ? ["infer", "train"]
          : ["infer"];
    return phases.map((phase) => ({ phase, model: model.name.text }));
  });
}

const hasObjective = (members: readonly Member[]): boolean =>
  members.some(
    (m) =>
      (m.kind === "function" && m.name.text === "objective") ||
      (m.kind === "member-if" && (hasObjective(m.then) || hasObjective(m.else))),
  );

/**
 * Notes that explain why a valid model of tokens cannot be used for generation, one for each place. Empty if the model
 * can generate or has errors.
 */
export function generationNotes(
  root: SourceFile,
  options: Omit<CheckOptions, "phase" | "entry">,
  found: Checked,
): readonly Diagnostic[] {
  const { witness: _, ...untold } = options;
  if (found.model?.entry !== "forward" || !found.model.inputs.some(({ type }) => type.dtype === "u32")) return [];
  const { model, diagnostics, sources } = check(root, {
    ...untold,
    phase: "generate" satisfies Phase,
    entry: "forward" satisfies Entry,
  });
  const errors = diagnostics.filter((d) => d.severity === "error").slice(0, MAX_NOTES);
  const obstacles = errors.map(({ message, hint, span, notes }) =>
    diagnose("cannot-generate", { why: message, remedy: hint }, span, notes),
  );
  const beside = model === null || errors.length > 0 ? [] : inputsBesideTokens(model);
  return withSources(
    [
      ...obstacles,
      ...beside.map(({ name, span }) =>
        diagnose("cannot-generate", { why: besideTokens(name), remedy: GIVE_NEXT }, span),
      ),
    ],
    sources,
  );
}

const GIVE_NEXT = "compute it from the tokens, such as by `scan`, or give it to `generate` of the library by `next`";

const besideTokens = (name: string): string =>
  `the input \`${name}\` has a value for each token, and nothing gives it for tokens to come`;

/** The inputs along the sequence that grows, but for the tokens; of a model without tokens none. */
function inputsBesideTokens(model: Model): Model["inputs"] {
  const axes = axesOfModel(model);
  const grown = growingAxes(
    model,
    axes,
    model.outputs.map(({ value }) => value),
  );
  const along = model.inputs.filter(({ type }) =>
    type.shape.some((size) => grown.has(sequenceOf(axes, size)?.name ?? "")),
  );
  const tokens = tokensAmong(
    along.map((input) => ({ name: input.name, dtype: input.type.dtype, rank: input.type.shape.length })),
  );
  return tokens === null ? [] : along.filter(({ name }) => name !== tokens);
}

/** Every `@allow` that suppressed no warning in any pass over the models and phases of a file. */
export function unusedAllows(passes: readonly Checked[]): readonly Diagnostic[] {
  const placed = (span: Span): string => `${span.file}:${span.start}`;
  const used = new Set(passes.flatMap(({ allows }) => allows.filter((a) => a.used).map((a) => placed(a.span))));
  const unused = new Map(
    passes.flatMap(({ allows }) => allows.filter((a) => !used.has(placed(a.span))).map((a) => [placed(a.span), a])),
  );
  const sources = passes.flatMap((p) => p.sources);
  return withSources(
    [...unused.values()].map(({ code, span }) => diagnose("unused-allow", { code }, span)),
    sources,
  );
}
