// The programs of a model: the phase and entry in which each is checked, and the graph that is optimized and compiled.
import { once } from "../ground/base/once.js";
import { accumulateStep, trainStep, weightsAsStates, type StepOptions, type TrainStep } from "./autodiff/train-step.js";
import { withGradients } from "./autodiff/gradients.js";
import { check, type Checked, type CheckOptions } from "../language/check/check.js";
import type { Entry, Model, Phase } from "../language/check/model/model.js";
import type { Read } from "../language/check/names/files.js";
import type { SourceFile } from "../language/diagnostics/span.js";
import type { Graph } from "./ir/graph.js";
import { GenerationError } from "./lower/generation-error.js";
import {
  generationGraphs,
  type DraftGraphs,
  type GenerationGraphs,
  type GenerationOptions,
} from "./lower/generation.js";
import { lower } from "./lower/lower.js";
import { optimize, type OptimizeOptions } from "./passes/index.js";
import { roundOperands } from "./passes/round-operands.js";
import type { ProgramName } from "../runtime/program/names.js";

/** The graphs of a model. Each is computed once, when it is first asked for. */
export interface ModelGraphs {
  /** The model's function as operators on packed rows. */
  readonly lowered: () => Graph;
  /** Prompt and step. Throws GenerationError where the model is no decoder of one token after another. */
  readonly generation: () => GenerationGraphs;
  /** Drafting, with caches in pages. Throws GenerationError also if the model has no routed blocks to leave out. */
  readonly drafting: () => DraftGraphs;
  /** The objective with a gradient for every weight. */
  readonly gradients: () => Graph;
  /** Gradients, clipping and optimiser. */
  readonly training: () => TrainStep;
  /** Gradients for one micro-batch, added to earlier gradients. */
  readonly microBatch: () => Graph;
  /** The model's function with the states of a training step in place of weights. */
  readonly evaluation: () => Graph;
  /** The graph of a program after the passes; computed at each call. */
  readonly optimized: (name: ProgramName, options?: OptimizeOptions) => Graph;
}

export interface GraphOptions {
  /** The model's lowered graph, if it exists already. */
  readonly lowered?: Graph;
  readonly generation?: GenerationOptions;
  readonly training?: StepOptions;
}

/**
 * How a step trains where nobody says: AdamW as Llama 2 was trained with (Touvron et al. 2023, arXiv 2307.09288, 2.2).
 */
export const USUAL_STEP: StepOptions = {
  optimizer: { kind: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8 },
  clip: 1,
  accumulated: false,
  inFlight: true,
};

export function graphsOf(model: Model, options: GraphOptions = {}): ModelGraphs {
  const ownLosses = new Set(model.losses.flatMap(({ own, path }) => (own ? [path] : [])));
  const training: StepOptions = { ownLosses, ...(options.training ?? USUAL_STEP) };
  const lowered = once(() => options.lowered ?? lower(model));
  const generation = once(() => generationGraphs(lowered(), options.generation));
  const paged = (): GenerationGraphs =>
    options.generation?.caches === "pages"
      ? generation()
      : generationGraphs(lowered(), { ...options.generation, caches: "pages" });
  const graphs: ModelGraphs = {
    lowered,
    generation,
    drafting: once(() => paged().draft ?? noDraft()),
    gradients: once(() => withGradients(lowered(), model.weights)),
    training: once(() => trainStep(lowered(), model.weights, training)),
    microBatch: once(() => accumulateStep(lowered(), model.weights, training)),
    evaluation: once(() => weightsAsStates(lowered(), (path) => training.frozen?.has(path) ?? false)),
    optimized: (name, passes) => {
      const graph = optimize(recipes[name].graph(graphs), passes);
      return recipes[name].trains && passes?.after === undefined ? roundedAs(graph, training) : graph;
    },
  };
  return graphs;
}

/** The optimized graph of a step with the operands of its products rounded as the options say. */
export const roundedAs = (graph: Graph, { products, stored }: Pick<StepOptions, "products" | "stored">): Graph =>
  products === undefined ? graph : roundOperands(graph, { to: products, stored: stored ?? new Set() });

function noneGiven(): never {
  throw new GenerationError("the model has no inputs but its tokens, so nothing is computed before a prompt");
}

function noDraft(): never {
  throw new GenerationError("a draft is made by the model without its routed blocks: this one has none to leave out");
}

export interface Recipe {
  /** The program's purpose, as a clause. */
  readonly doc: string;
  readonly phase: Phase;
  readonly entry: Entry;
  /** The graph, before any pass. */
  readonly graph: (graphs: ModelGraphs) => Graph;
  /** Whether it computes gradients of a training step, whose products may round their operands. */
  readonly trains: boolean;
}

const recipe = (phase: Phase, entry: Entry, doc: string, graph: Recipe["graph"], trains = false): Recipe => ({
  doc,
  phase,
  entry,
  graph,
  trains,
});

/** By name, every program that modc compiles. */
export const recipes: { readonly [N in ProgramName]: Recipe } = {
  infer: recipe("infer", "forward", "one pass over whole sequences, in which `top` sees all of one", (g) =>
    g.lowered(),
  ),
  objective: recipe("train", "objective", "the loss of the objective", (g) => g.lowered()),
  gradients: recipe("train", "objective", "the loss, and its gradient for every weight", (g) => g.gradients()),
  given: recipe(
    "generate",
    "forward",
    "computes what given inputs alone determine, once a text",
    (g) => g.generation().given ?? noneGiven(),
  ),
  prompt: recipe("generate", "forward", "reads a chunk of a prompt into the caches", (g) => g.generation().prompt),
  step: recipe(
    "generate",
    "forward",
    "reads the token chosen before, and chooses the next",
    (g) => g.generation().step,
  ),
  draft: recipe("generate", "forward", "as `step`, by the model without its routed blocks", (g) => g.drafting().step),
  "verify-draft": recipe(
    "generate",
    "forward",
    "reads drafted tokens, and chooses a token after each",
    (g) => g.drafting().verify,
  ),
  "train-step": recipe(
    "train",
    "objective",
    "gradients, clipping and the optimiser's update",
    (g) => g.training().graph,
    true,
  ),
  "micro-batch": recipe(
    "train",
    "objective",
    "gradients, added to those of the micro-batches before",
    (g) => g.microBatch(),
    true,
  ),
  evaluate: recipe("infer", "objective", "the loss of weights in training, by top-k", (g) => g.evaluation()),
  "evaluate-causal": recipe("generate", "objective", "the same under the causal rule", (g) => g.evaluation()),
};

/** Selects a model of a source, and its parameters. */
export interface ModelSelection {
  /** The name of the model, if the source declares several. */
  readonly model?: string | undefined;
  /**
   * Returns the text of an imported file by its path relative to the root file's folder; null for a missing file. By
   * default only "std" can be imported.
   */
  readonly read?: Read;
  /** Parameters of the model: a number, a boolean, or an expression of the language (`"12.5%"`, `"\"gelu\""`). */
  readonly set?: Readonly<Record<string, string | number | boolean>>;
}

/** Selects a program of a model by its name, or by phase, entry and gradients. */
export type ProgramChoice =
  | {
      /** The program, which determines phase and entry. */
      readonly program: ProgramName;
      readonly phase?: never;
      readonly entry?: never;
      readonly gradients?: never;
    }
  | {
      readonly program?: never;
      /**
       * infer: one pass in which `top` may see the whole sequence. train: with the objective. generate: the causal
       * rule. Default infer.
       */
      readonly phase?: Phase;
      /** The function to enter; by default the objective in train, else forward. */
      readonly entry?: Entry;
      /** Adds the gradient of the loss for every weight, as results named `grad.<path>`; needs an objective. */
      readonly gradients?: boolean;
    };

/** Checks the selected model for the selected program. */
export function checkAs(
  source: SourceFile,
  choice: ModelSelection & ProgramChoice & Pick<CheckOptions, "setBy">,
): Checked {
  const { program, model, setBy } = choice;
  const { phase, entry } = program === undefined ? choice : recipes[program];
  // A parameter may be named like a property of all objects.
  const set = Object.create(null) as Record<string, string>;
  for (const [name, value] of Object.entries(choice.set ?? {})) set[name] = String(value);
  return check(source, {
    phase: phase ?? "infer",
    ...(entry === undefined ? {} : { entry }),
    ...(model === undefined ? {} : { model }),
    ...(setBy === undefined ? {} : { setBy }),
    set,
    read: choice.read ?? (() => null),
  });
}

/** The name of the selected program. Without a name, the graph is the entered function, with or without gradients. */
export const chosenProgram = (
  { program, gradients }: { readonly program?: ProgramName | undefined; readonly gradients?: boolean | undefined },
  { entry }: Pick<Model, "entry">,
): ProgramName => program ?? (gradients && entry === "objective" ? "gradients" : "infer");
