// Compiles the programs of a training run, which share the states of the first: the step, gradient accumulation,
// evaluation under both rules.
import { pathsOfRoutes } from "../../runtime/program/observed.js";
import type { Checked } from "../../language/check/check.js";
import type { Read } from "../../language/check/names/files.js";
import type { Model } from "../../language/check/model/model.js";
import { finiteProbe, type Watched } from "../../compiler/autodiff/non-finite.js";
import type { StepOptions, TrainStep } from "../../compiler/autodiff/train-step.js";
import { rolesOf, type WeightRole } from "../../compiler/autodiff/roles.js";
import { programFor } from "../../compiler/compile.js";
import { flopsOf } from "../../compiler/cost/ledger.js";
import type { Diagnostic } from "../../language/diagnostics/diagnostic.js";
import type { SourceFile } from "../../language/diagnostics/span.js";
import type { Graph } from "../../compiler/ir/graph.js";
import { lower } from "../../compiler/lower/lower.js";
import { optimize } from "../../compiler/passes/index.js";
import type { Program } from "../../runtime/program/program.js";
import type { ProgramName } from "../../runtime/program/names.js";
import { checkAs, graphsOf, roundedAs, USUAL_STEP } from "../../compiler/recipes.js";
import type { Precision, Target } from "../../runtime/program/target.js";
import type { Tunings } from "../../compiler/schedule/tunings/index.js";
import type { Rational } from "../../ground/numerics/rational.js";
import { chosenFrom } from "../../ground/size/count-rules.js";
import { chosenLayers, layersWithin, type RecomputeChoice, bytesOf } from "./memory.js";
import { expectComparable, hasContrast } from "./contrast.js";
import { TrainError } from "./errors.js";
import type { Rule } from "./types.js";
import { load, type LoadOptions, type Session, type WeightsInput } from "../../runtime/index.js";
import { sharedWeightSlots } from "../../runtime/steps/shared-weights.js";

export interface TrainingSource {
  readonly source: string;
  readonly file: string;
  readonly read?: Read;
  readonly model?: string;
  /** Parameters of the model, as expressions of the language. */
  readonly set?: Readonly<Record<string, string>>;
}

/** Options of a training run's programs. */
export interface TrainingOptions extends Omit<
  StepOptions,
  "accumulated" | "recompute" | "inFlight" | "frozen" | "stored" | "roles"
> {
  readonly microBatches: number;
  /** Whether routers and predictors learn at rates of their own (`StepSettings.ownRates`). Default: no. */
  readonly ownRates?: boolean;
  /**
   * The storage type of frozen weights, if kernels can decode them; f32 by default. Trainable weights are f32 in any
   * case. Throws TrainError if all weights are trainable.
   */
  readonly precision?: Pick<Precision, "weights">;
  /**
   * Layers that are rematerialized in the backward pass instead of saving their activations: `none` (the default),
   * `all`, or patterns of paths.
   */
  readonly recompute?: RecomputeChoice;
  /**
   * The most bytes on the device for all programs together, with `rows` sequences of `length` tokens. Further layers
   * are rematerialized until the programs fit.
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
  /** Weights selected for training that do not affect the loss. */
  readonly idle: readonly string[];
  /** The roles of weights that have one, by path. */
  readonly roles: ReadonlyMap<string, WeightRole>;
  /** Weights that the device stores in the type of frozen weights. */
  readonly stored: ReadonlySet<string>;
  /** Layers that are rematerialized in the backward pass. */
  readonly recomputed: readonly string[];
  readonly step: Program;
  /** Adds up the gradients of a micro-batch; null if a step is one batch. */
  readonly accumulate: Program | null;
  /** Evaluation by rule. A model without routes, or one that cannot generate, has the same program for both. */
  readonly evaluate: Readonly<Record<Rule, Program>>;
  /** Paths of the observed routes, whose chosen tokens are known. */
  readonly routes: readonly string[];
  /**
   * Floating-point operations that kernels execute in one step at these sizes, summed over micro-batches. Unset live
   * parameters have their defaults.
   */
  flops(extents: ReadonlyMap<string, number>, live?: ReadonlyMap<string, Rational>): number;
  /** Compiles the program that finds the first non-finite value of a micro-batch, and the values that it watches. */
  probe(): { readonly program: Program; readonly watched: readonly Watched[] };
}

/** The compiled step and, if it has micro-batches, the accumulation of gradients. */
interface Compiled {
  readonly made: TrainStep;
  readonly graph: Graph;
  readonly adding: Graph | null;
  readonly step: Program;
  readonly accumulate: Program | null;
}

/** All programs. */
interface Made extends Compiled {
  readonly evaluate: TrainingPrograms["evaluate"];
  readonly recomputed: ReadonlySet<string>;
  readonly emitted: (graph: Graph, model: Model) => Program;
}

export type CompiledTraining =
  | {
      readonly programs: TrainingPrograms;
      readonly diagnostics: readonly Diagnostic[];
      readonly sources: readonly SourceFile[];
    }
  | { readonly programs: null; readonly diagnostics: readonly Diagnostic[]; readonly sources: readonly SourceFile[] };

/**
 * Compiles a model for training. If the source has errors, `programs` is null and `diagnostics` has the errors. Throws
 * TrainError for patterns that match no layer, for a budget that does not suffice, and for micro-batches of a loss with
 * `contrast`.
 */
export function compileTraining(
  source: TrainingSource,
  options: TrainingOptions,
  { target, tunings }: TrainingTarget,
): CompiledTraining {
  const checked = checkFor(source, "train-step");
  const { model } = checked;
  if (!model) return { programs: null, diagnostics: checked.diagnostics, sources: checked.sources };
  if (hasContrast(model)) expectComparable({ accumulate: options.microBatches });
  const inferred = checkFor(source, "evaluate");
  if (!inferred.model) return { programs: null, diagnostics: inferred.diagnostics, sources: inferred.sources };
  // A model that cannot generate, such as an encoder or a model without a predictor, can be trained.
  const causal = checkFor(source, "evaluate-causal").model;
  const objective = lower(model);
  const { recompute: choice = "none", budget, microBatches, precision = {}, ownRates = false, ...rest } = options;
  const roles = rolesOf(model);
  const own = { ...rest, ...(ownRates || rest.optimizer.kind === "muon" ? { roles } : {}) };
  const frozen = frozenWeights(model, { ...own, precision });
  /** The programs if only the weights `of` are stored in the type of frozen weights. */
  const programsOf = (of: ReadonlySet<string>): Made => {
    const emitted = (graph: Graph, model: Model): Program =>
      programFor({ graph, model, sources: checked.sources }, target, tunings, { ...precision, of });
    const stepOf = (recompute: ReadonlySet<string>): Compiled => {
      const accumulated = microBatches > 1;
      const training: StepOptions = { ...own, frozen, stored: of, recompute, accumulated, inFlight: true };
      const graphs = graphsOf(model, { lowered: objective, training });
      const graph = graphs.optimized("train-step");
      const adding = microBatches > 1 ? graphs.optimized("micro-batch") : null;
      return {
        made: graphs.training(),
        graph,
        adding,
        step: emitted(graph, model),
        accumulate: adding && emitted(adding, model),
      };
    };
    const evaluation = (name: "evaluate" | "evaluate-causal", of: Model): Program =>
      emitted(graphsOf(of, { training: { ...USUAL_STEP, frozen } }).optimized(name), of);
    const topK = evaluation("evaluate", inferred.model!);
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
    return { ...stepOf(recomputed), evaluate, recomputed, emitted };
  };
  const [found, stored] = agreed(programsOf, frozen);
  const { made, graph, adding, step, accumulate, evaluate, recomputed, emitted } = found;
  const [stepFlops, addingFlops] = [flopsOf(graph), adding && flopsOf(adding)];
  const programs: TrainingPrograms = {
    model,
    sources: checked.sources,
    graph,
    trained: made.trained,
    idle: made.idle,
    roles,
    stored,
    recomputed: [...recomputed],
    step,
    accumulate,
    evaluate,
    routes: pathsOfRoutes(evaluate["top-k"].outputs),
    flops: (extents, live = new Map()) =>
      stepFlops({ extents, live }) + (microBatches - 1) * (addingFlops?.({ extents, live }) ?? 0),
    probe: () => {
      // One micro-batch at a time: accumulated gradients would not show which micro-batch is not finite.
      const training: StepOptions = { ...own, frozen, recompute: recomputed, accumulated: false };
      const { graph: probe, watched } = finiteProbe(graphsOf(model, { lowered: objective, training }).training().graph);
      return { program: emitted(roundedAs(optimize(probe), { ...own, stored }), model), watched };
    },
  };
  return { programs, diagnostics: checked.diagnostics, sources: checked.sources };
}

/** Paths of the frozen weights, which may be stored in another type than f32. */
function frozenWeights(
  { weights }: Pick<Model, "weights">,
  { trained, precision }: Pick<TrainingOptions, "trained" | "precision">,
): ReadonlySet<string> {
  if ((precision?.weights ?? "f32") === "f32") return new Set();
  const frozen = weights.filter((w) => w.kind === "weight" && w.dtype === "f32" && trained?.(w) === false);
  if (frozen.length === 0)
    throw new TrainError(
      "bad-option",
      `precision is ${precision!.weights}, but all weights are trained, and trained weights are f32`,
      {
        hint: "choose the weights to train with --only; the others may have another type",
      },
    );
  return new Set(frozen.map((w) => w.path));
}

/**
 * The programs, and the weights that they store in the type of frozen weights. Only weights that all programs can store
 * so are included, so that no weight has different values in different programs.
 */
function agreed(
  programsOf: (of: ReadonlySet<string>) => Made,
  frozen: ReadonlySet<string>,
): readonly [Made, ReadonlySet<string>] {
  const made = programsOf(frozen);
  const programs = [made.step, ...(made.accumulate ? [made.accumulate] : []), ...Object.values(made.evaluate)];
  const forms = programs.flatMap(({ weights }) =>
    weights.flatMap(({ path, slots }) => slots.map(({ form }) => ({ path, inWords: form === "word" }))),
  );
  const inWords = new Set(forms.filter((f) => f.inWords).map((f) => f.path));
  const encoded = new Set(forms.filter((f) => !f.inWords).map((f) => f.path));
  const neverInWords = new Set([...encoded].filter((path) => !inWords.has(path)));
  return neverInWords.size === encoded.size ? [made, neverInWords] : agreed(programsOf, neverInWords);
}

/**
 * Extents of the batch and sequence axes of a model's inputs, within their bounds. `length`: tokens of a sequence, or
 * those along each axis.
 */
export function extentsOf(
  model: Pick<Model, "axes">,
  rows: number,
  length: number | ((axis: string) => number),
): ReadonlyMap<string, number> {
  const along = typeof length === "number" ? () => length : length;
  return new Map(
    model.axes.flatMap((axis): [string, number][] => {
      if (axis.role === "batch") return [[axis.name, rows]];
      return axis.role === "sequence" && axis.count.kind === "input"
        ? [[axis.name, Math.min(along(axis.name), axis.bound ?? Infinity)]]
        : [];
    }),
  );
}

const checkFor = (source: TrainingSource, program: ProgramName): Checked =>
  checkAs({ file: source.file, text: source.source }, { ...source, program });

/**
 * Loads a program that shares the states and weights of the step. A weight that the program stores differently, such as
 * in another layout, is loaded again.
 */
export function loadBeside(
  step: Session,
  program: Program,
  weights: WeightsInput | undefined,
  own: LoadOptions,
): Promise<Session> {
  const shared = sharedWeightSlots(program, step.program);
  const reads = program.weights.some(({ slots }) => slots.some(({ slot }) => !shared.has(slot)));
  return load(program, step.device, reads ? weights : undefined, { ...own, statesOf: step, weightsOf: step });
}
