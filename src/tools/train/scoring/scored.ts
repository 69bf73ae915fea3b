// Compiles the programs that score texts: one for each rule by which layers choose tokens.
import { programFor } from "../../../compiler/compile.js";
import { scoredGraph, type Score } from "../../../compiler/lower/scored.js";
import { lower } from "../../../compiler/lower/lower.js";
import { optimize } from "../../../compiler/passes/index.js";
import { checkAs } from "../../../compiler/recipes.js";
import { chosenFrom } from "../../../ground/size/count-rules.js";
import type { Checked } from "../../../language/check/check.js";
import type { Diagnostic } from "../../../language/diagnostics/diagnostic.js";
import { SourceError } from "../../../language/diagnostics/errors.js";
import type { SourceFile } from "../../../language/diagnostics/span.js";
import { pathsOfRoutes } from "../../../runtime/program/observed.js";
import type { Program } from "../../../runtime/program/program.js";
import type { Precision, Target } from "../../../runtime/program/target.js";
import type { Tunings } from "../../../compiler/schedule/tunings/index.js";
import type { ModelChoice, ModelSource } from "../model.js";
import type { Rule } from "../types.js";

/** A model that scores texts. */
export interface ScoringModel {
  readonly name: string;
  /** Whether routes choose tokens, so that the rules differ. */
  readonly routed: boolean;
  /** The most tokens of a text; null: no limit. */
  readonly bound: number | null;
  /** The number of tokens that the model can read, and the number that it can predict. */
  readonly readable: number;
  readonly vocabulary: number;
  /** The rules that the model has, or the one that was asked for. */
  readonly rules: readonly Rule[];
  readonly diagnostics: readonly Diagnostic[];
  readonly sources: readonly SourceFile[];
  compile(score: Score, rule: Rule, precision: Precision): ScoringProgram;
}

/** A program that scores texts by a rule. */
export interface ScoringProgram {
  readonly program: Program;
  readonly forTarget: (target: Target, tunings?: Tunings) => Program;
  /** Names of its inputs; `targets` is null for greedy tokens. */
  readonly tokens: string;
  readonly targets: string | null;
  /** Paths of the observed routes. */
  readonly routes: readonly string[];
}

const PHASES = { "top-k": "infer", causal: "generate" } as const;

/**
 * Checks a model's `forward` under the rules; `rule`: the only one. Throws SourceError, and GenerationError if the
 * model gives no logits for its tokens.
 */
export function scoringModel(text: ModelSource, choice: ModelChoice, rule: Rule | null): ScoringModel {
  const checked = (by: Rule): Checked =>
    checkAs(text.source, {
      phase: PHASES[by],
      entry: "forward",
      set: choice.set,
      read: text.read,
      model: choice.model,
    });
  const first = checked(rule ?? "top-k");
  const { model, diagnostics, sources } = first;
  if (!model) throw new SourceError(diagnostics, sources);
  const found = new Map<Rule, Checked>([[rule ?? "top-k", first]]);
  const routed = model.axes.some((a) => a.role === "sequence" && chosenFrom(a.count) !== null);
  if (rule === null && routed) {
    const causal = checked("causal");
    // A model that is only trained need not have a causal rule.
    if (causal.model) found.set("causal", causal);
  }
  const { input, vocabulary } = scoredGraph(lower(model), "greedy");
  return {
    name: model.name,
    routed,
    bound: model.axes.find((a) => a.name === input.packing!.axis)?.bound ?? null,
    readable: input.below ?? Infinity,
    vocabulary,
    rules: [...found.keys()],
    diagnostics,
    sources,
    compile(score, by, precision) {
      const { model: own, sources: read } = found.get(by)!;
      const scored = scoredGraph(lower(own!), score);
      const graph = optimize(scored.graph);
      const forTarget = (target?: Target, tunings?: Tunings): Program =>
        programFor({ graph, model: own!, sources: read }, target, tunings, precision);
      const program = forTarget();
      const routes = pathsOfRoutes(program.outputs);
      return { program, forTarget, tokens: scored.input.name, targets: scored.targets, routes };
    },
  };
}
