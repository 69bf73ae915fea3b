// The programs a model becomes: as what each is checked, and which graph of it is optimized and compiled.
import { once } from "../ground/base/once.js";
import { accumulateStep, trainStep, type StepOptions, type TrainStep } from "./autodiff/train-step.js";
import { weightsAsStates } from "./autodiff/weights-as-states.js";
import { withGradients } from "./autodiff/with-gradients.js";
import type { Entry, Model, Phase } from "../language/check/model.js";
import type { Graph } from "./ir/graph.js";
import { generationGraphs, type GenerationGraphs, type GenerationOptions } from "./lower/generation.js";
import { lower } from "./lower/lower.js";
import type { ProgramName } from "../runtime/program/names.js";

/** What several programs of a model are made from: each is computed once, when it is first asked for. */
export interface Material {
  /** The model's function as operators on packed rows. */
  readonly lowered: () => Graph;
  /** Prompt and step. Throws GenerationError where the model is no decoder of one token after another. */
  readonly generation: () => GenerationGraphs;
  /** The objective with a gradient for every weight. */
  readonly gradients: () => Graph;
  /** Gradients, clipping and optimiser. */
  readonly training: () => TrainStep;
  /** Gradients for one micro-batch, added to earlier gradients. */
  readonly microBatch: () => Graph;
  /** The model's function with the states of a training step in place of weights. */
  readonly evaluation: () => Graph;
}

export interface MaterialOptions {
  /** What `lower` made of the model before. */
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

export function materialOf(model: Model, options: MaterialOptions = {}): Material {
  const training = options.training ?? USUAL_STEP;
  const lowered = once(() => options.lowered ?? lower(model));
  return {
    lowered,
    generation: once(() => generationGraphs(lowered(), options.generation)),
    gradients: once(() => withGradients(lowered(), model.weights)),
    training: once(() => trainStep(lowered(), model.weights, training)),
    microBatch: once(() => accumulateStep(lowered(), model.weights, training)),
    evaluation: once(() => weightsAsStates(lowered(), (path) => training.frozen?.has(path) ?? false)),
  };
}

export interface Recipe {
  /** What the program does, as a clause. */
  readonly doc: string;
  readonly phase: Phase;
  readonly entry: Entry;
  /** The graph, before any pass. */
  readonly graph: (material: Material) => Graph;
}

const recipe = (phase: Phase, entry: Entry, doc: string, graph: Recipe["graph"]): Recipe => ({
  doc,
  phase,
  entry,
  graph,
});

/** By name, every program that modc compiles. */
export const recipes: { readonly [N in ProgramName]: Recipe } = {
  infer: recipe("infer", "forward", "one pass over whole sequences, in which `top` sees all of one", (m) =>
    m.lowered(),
  ),
  objective: recipe("train", "objective", "the loss of the objective", (m) => m.lowered()),
  gradients: recipe("train", "objective", "the loss, and its gradient for every weight", (m) => m.gradients()),
  prompt: recipe("generate", "forward", "reads a chunk of a prompt into the caches", (m) => m.generation().prompt),
  step: recipe(
    "generate",
    "forward",
    "reads the token chosen before, and chooses the next",
    (m) => m.generation().step,
  ),
  "train-step": recipe(
    "train",
    "objective",
    "gradients, clipping and the optimiser's update",
    (m) => m.training().graph,
  ),
  "micro-batch": recipe("train", "objective", "gradients, added to those of the micro-batches before", (m) =>
    m.microBatch(),
  ),
  evaluate: recipe("infer", "objective", "the loss of weights in training, by top-k", (m) => m.evaluation()),
  "evaluate-causal": recipe("generate", "objective", "the same under the causal rule", (m) => m.evaluation()),
};
