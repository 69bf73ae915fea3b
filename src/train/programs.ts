// The programs of a training run, all over the states of the first: the step, micro-batches before it, evaluation under both rules.
import { check } from "../check/check.js";
import type { Read } from "../check/files.js";
import type { Model, Phase } from "../check/model.js";
import { finiteProbe, type Watched } from "../autodiff/non-finite.js";
import { accumulateStep, type StepOptions, trainStep } from "../autodiff/train-step.js";
import { weightsAsStates } from "../autodiff/weights-as-states.js";
import { programFor } from "../compile.js";
import { ledger } from "../cost/ledger.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { SourceFile } from "../diagnostics/span.js";
import type { Graph } from "../ir/graph.js";
import { lower } from "../lower/lower.js";
import { optimize } from "../passes/index.js";
import type { Program } from "../program/program.js";
import type { Target } from "../program/target.js";
import type { Tunings } from "../schedule/tunings/index.js";
import type { Rule } from "./types.js";

export interface TrainingSource {
  readonly source: string;
  readonly file: string;
  readonly read?: Read;
  readonly model?: string;
  /** Parameters of the model, as expressions of the language. */
  readonly set?: Readonly<Record<string, string>>;
}

export interface TrainingTarget {
  readonly target: Target;
  readonly tunings?: Tunings | undefined;
}

export interface TrainingPrograms {
  readonly model: Model;
  readonly sources: readonly SourceFile[];
  /** The differentiated and optimized step. */
  readonly graph: Graph;
  readonly trained: readonly string[];
  /** Weights that should learn and of which the loss is no function. */
  readonly idle: readonly string[];
  readonly step: Program;
  /** Null where a step is one batch. */
  readonly accumulate: Program | null;
  /** By rule; a model that routes nothing, or cannot generate, has one program for both. */
  readonly evaluate: Readonly<Record<Rule, Program>>;
  /** Which tokens of a passage each routed layer computes can be told: the model observes its routes. */
  readonly routes: readonly string[];
  /** Floating-point operations of one step at these sizes, as its kernels do them. */
  flops(extents: ReadonlyMap<string, number>): number;
  /** The program that tells which value is not finite, and what it watches. Compiled when asked for. */
  probe(): { readonly program: Program; readonly watched: readonly Watched[] };
}

export type CompiledTraining =
  | { readonly programs: TrainingPrograms; readonly diagnostics: readonly Diagnostic[]; readonly sources: readonly SourceFile[] }
  | { readonly programs: null; readonly diagnostics: readonly Diagnostic[]; readonly sources: readonly SourceFile[] };

/** Compiles a model for training. Never throws for a fault of the source: then `programs` is null and `diagnostics` says why. */
export function compileTraining(
  source: TrainingSource,
  options: Omit<StepOptions, "accumulated"> & { readonly microBatches: number },
  { target, tunings }: TrainingTarget,
): CompiledTraining {
  const checked = checkFor(source, "train");
  const { model } = checked;
  if (!model) return { programs: null, diagnostics: checked.diagnostics, sources: checked.sources };
  const inferred = checkFor(source, "infer");
  if (!inferred.model) return { programs: null, diagnostics: inferred.diagnostics, sources: inferred.sources };
  // A model that cannot generate, an encoder or one without a predictor, can be trained all the same.
  const causal = checkFor(source, "generate").model;
  const emitted = (graph: Graph, of: Model): Program => programFor({ graph, model: of, sources: checked.sources }, target, ...(tunings ? [tunings] : []));

  const objective = lower(model);
  const made = trainStep(objective, model.weights, { ...options, accumulated: options.microBatches > 1 });
  const graph = optimize(made.graph);
  const evaluation = (of: Model): Program => emitted(optimize(weightsAsStates(lower(of))), of);
  const topK = evaluation(inferred.model);
  const routed = model.axes.some((a) => a.role === "sequence" && (a.count.kind === "top" || a.count.kind === "above"));
  const programs: TrainingPrograms = {
    model,
    sources: checked.sources,
    graph,
    trained: made.trained,
    idle: made.idle,
    step: emitted(graph, model),
    accumulate: options.microBatches > 1 ? emitted(optimize(accumulateStep(objective, model.weights, options)), model) : null,
    evaluate: { "top-k": topK, causal: routed && causal ? evaluation(causal) : topK },
    routes: topK.outputs.flatMap((o) => (o.role === "observe" && o.name.endsWith(".index") ? [o.name.slice(0, -".index".length)] : [])),
    flops: (extents) => ledger(graph, model, { extents }).total.executed.flops,
    probe: () => {
      const { graph: probe, watched } = finiteProbe(made.graph);
      return { program: emitted(optimize(probe), model), watched };
    },
  };
  return { programs, diagnostics: checked.diagnostics, sources: checked.sources };
}

const checkFor = (source: TrainingSource, phase: Phase) =>
  check(
    { file: source.file, text: source.source },
    { phase, entry: "objective", set: source.set ?? {}, read: source.read ?? (() => null), ...(source.model === undefined ? {} : { model: source.model }) },
  );
