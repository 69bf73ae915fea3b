// Compiles the programs of a training run, which share the states of the first: the step, gradient accumulation,
// evaluation under both rules.
import { pathsOfRoutes } from "../program/observed.js";
import { check } from "../check/check.js";
import type { Read } from "../check/names/files.js";
import type { Model } from "../check/model.js";
import { finiteProbe, type Watched } from "../autodiff/non-finite.js";
import type { StepOptions, TrainStep } from "../autodiff/train-step.js";
import { programFor } from "../compile.js";
import { flopsOf } from "../cost/ledger.js";
import type { Diagnostic } from "../diagnostics/diagnostic.js";
import type { SourceFile } from "../diagnostics/span.js";
import type { Graph } from "../ir/graph.js";
import { lower } from "../lower/lower.js";
import { optimize } from "../passes/index.js";
import type { Program } from "../program/program.js";
import type { ProgramName } from "../program/names.js";
import { materialOf, recipes, type Material } from "../recipes.js";
import type { Target } from "../program/target.js";
import type { Tunings } from "../schedule/tunings/index.js";
import { memoryOf } from "../runtime/index.js";
import type { Rational } from "../size/rational.js";
import { chosenFrom } from "../size/count-rules.js";
import { chosenLayers, layersWithin, type RecomputeChoice } from "./recompute.js";
import { IN_FLIGHT, type Rule } from "./types.js";

export interface TrainingSource {
  readonly source: string;
  readonly file: string;
  readonly read?: Read;
  readonly model?: string;
  /** Parameters of the model, as expressions of the language. */
  readonly set?: Readonly<Record<string, string>>;
}

/** Options of a training run's programs. */
export interface TrainingOptions extends Omit<StepOptions, "accumulated" | "recompute" | "inFlight"> {
  readonly microBatches: number;
  /**
   * Layers that are rematerialized in the backward pass instead of saving their activations: `none` (the default),
   * `all`, or patterns of paths.
   */
  readonly recompute?: RecomputeChoice;
  /**
   * The most bytes on the device that all programs together may take with `rows` sequences of `length` tokens. As many
   * more layers are rematerialized as it requires.
   */
  readonly budget?: {
    readonly bytes: number;
    readonly rows: number;
    readonly length: number;
    readonly live?: Readonly<Record<string, number>>;
  };
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
  /** Weights that should be trained but do not affect the loss. */
  readonly idle: readonly string[];
  /** Layers that are rematerialized in the backward pass. */
  readonly recomputed: readonly string[];
  readonly step: Program;
  /** Adds the gradients of a micro-batch; null where a step is one batch. */
  readonly accumulate: Program | null;
  /** Evaluation by rule; a model without routes, or one that cannot generate, has one program for both. */
  readonly evaluate: Readonly<Record<Rule, Program>>;
  /** Paths of the observed routes: for these it is known which tokens a layer computes. */
  readonly routes: readonly string[];
  /**
   * Floating-point operations that kernels execute in one step at these sizes, over all its micro-batches. Live
   * parameters default to their own defaults.
   */
  flops(extents: ReadonlyMap<string, number>, live?: ReadonlyMap<string, Rational>): number;
  /** Compiles the program that finds the first non-finite value in a micro-batch, and the values it watches. */
  probe(): { readonly program: Program; readonly watched: readonly Watched[] };
}

/** The compiled step, and the accumulation of gradients where it has micro-batches. */
interface Compiled {
  readonly made: TrainStep;
  readonly graph: Graph;
  readonly adding: Graph | null;
  readonly step: Program;
  readonly accumulate: Program | null;
}

export type CompiledTraining =
  | {
      readonly programs: TrainingPrograms;
      readonly diagnostics: readonly Diagnostic[];
      readonly sources: readonly SourceFile[];
    }
  | { readonly programs: null; readonly diagnostics: readonly Diagnostic[]; readonly sources: readonly SourceFile[] };

/**
 * Compiles a model for training. For errors of the source `programs` is null and `diagnostics` has them. Throws
 * TrainError for patterns that match no layer, and for a budget that does not suffice.
 */
export function compileTraining(
  source: TrainingSource,
  options: TrainingOptions,
  { target, tunings }: TrainingTarget,
): CompiledTraining {
  const checked = checkFor(source, "train-step");
  const { model } = checked;
  if (!model) return { programs: null, diagnostics: checked.diagnostics, sources: checked.sources };
  const inferred = checkFor(source, "evaluate");
  if (!inferred.model) return { programs: null, diagnostics: inferred.diagnostics, sources: inferred.sources };
  // A model that cannot generate, such as an encoder or one without a predictor, can be trained nevertheless.
  const causal = checkFor(source, "evaluate-causal").model;
  const emitted = (graph: Graph, of: Model): Program =>
    programFor({ graph, model: of, sources: checked.sources }, target, ...(tunings ? [tunings] : []));

  const optimized = (name: ProgramName, material: Material): Graph => optimize(recipes[name].graph(material));
  const objective = lower(model);
  const { recompute: choice = "none", budget, microBatches, ...own } = options;
  const stepOf = (recompute: ReadonlySet<string>): Compiled => {
    const training: StepOptions = { ...own, recompute, accumulated: microBatches > 1, inFlight: true };
    const material = materialOf(model, { lowered: objective, training });
    const graph = optimized("train-step", material);
    const adding = microBatches > 1 ? optimized("micro-batch", material) : null;
    return {
      made: material.training(),
      graph,
      adding,
      step: emitted(graph, model),
      accumulate: adding && emitted(adding, model),
    };
  };
  const evaluation = (name: "evaluate" | "evaluate-causal", of: Model): Program =>
    emitted(optimized(name, materialOf(of)), of);
  const topK = evaluation("evaluate", inferred.model);
  const routed = model.axes.some((a) => a.role === "sequence" && chosenFrom(a.count) !== null);
  const evaluate = { "top-k": topK, causal: routed && causal ? evaluation("evaluate-causal", causal) : topK };
  const asked = chosenLayers(objective, choice);
  const recompute = budget
    ? layersWithin(objective, budget.bytes, (layers) =>
        bytesOf(
          { ...stepOf(new Set([...asked, ...layers])), evaluate },
          extentsOf(model, budget.rows, budget.length),
          budget.live,
        ),
      )
    : asked;
  const recomputed = new Set([...asked, ...recompute]);
  const { made, graph, adding, step, accumulate } = stepOf(recomputed);
  const [stepFlops, addingFlops] = [flopsOf(graph), adding && flopsOf(adding)];
  const programs: TrainingPrograms = {
    model,
    sources: checked.sources,
    graph,
    trained: made.trained,
    idle: made.idle,
    recomputed: [...recomputed],
    step,
    accumulate,
    evaluate,
    routes: pathsOfRoutes(topK.outputs),
    flops: (extents, live = new Map()) =>
      stepFlops({ extents, live }) + (microBatches - 1) * (addingFlops?.({ extents, live }) ?? 0),
    probe: () => {
      // For each micro-batch by itself: accumulated gradients would not tell which one is not finite.
      const training: StepOptions = { ...own, recompute: recomputed, accumulated: false };
      const { graph: probe, watched } = finiteProbe(
        materialOf(model, { lowered: objective, training }).training().graph,
      );
      return { program: emitted(optimize(probe), model), watched };
    },
  };
  return { programs, diagnostics: checked.diagnostics, sources: checked.sources };
}

/** Extents of the batch and sequence axes of a model's inputs. */
export function extentsOf(model: Pick<Model, "axes">, rows: number, length: number): ReadonlyMap<string, number> {
  return new Map(
    model.axes.flatMap((axis): [string, number][] => {
      if (axis.role === "batch") return [[axis.name, rows]];
      return axis.role === "sequence" && axis.count.kind === "input" ? [[axis.name, length]] : [];
    }),
  );
}

/**
 * The most bytes on the device that a trainer takes: of all programs, which share the step's states, and of the staging
 * buffer for checkpoints. `live`: the largest values of live parameters.
 */
export function bytesOf(
  { step, accumulate, evaluate }: Pick<TrainingPrograms, "step" | "accumulate" | "evaluate">,
  extents: ReadonlyMap<string, number>,
  live: Readonly<Record<string, number>> = {},
): number {
  const max = Object.fromEntries(extents);
  const others = new Set([...(accumulate ? [accumulate] : []), ...Object.values(evaluate)]);
  const shared = [...others].map((program) => {
    const { total, states } = memoryOf(program, { max, live, inFlight: program === accumulate ? IN_FLIGHT : 1 });
    return total - states;
  });
  const { total, reading } = memoryOf(step, { max, live, inFlight: IN_FLIGHT });
  return total + reading + shared.reduce((sum, bytes) => sum + bytes, 0);
}

const checkFor = (source: TrainingSource, name: ProgramName) =>
  check(
    { file: source.file, text: source.source },
    {
      phase: recipes[name].phase,
      entry: recipes[name].entry,
      set: source.set ?? {},
      read: source.read ?? (() => null),
      ...(source.model === undefined ? {} : { model: source.model }),
    },
  );
