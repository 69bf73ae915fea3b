// The weights that a run uses: the trained file, what was trained in the page, or none.
import { countOf } from "../../../src/ground/base/collections.js";
import type { Diagnostic } from "../../../src/language/diagnostics/diagnostic.js";
import type { Program, ProgramWeight } from "../../../src/runtime/program/program.js";
import { matchWeights, readSafetensors, WeightsError, type Words } from "../../../src/runtime/index.js";
import { ModelError } from "./errors.js";
import type { RunAsk } from "./protocol.js";
import { learnedBy } from "./train.js";

/** The limit on a model's weight values: more take too long, and too much memory, in a page. */
const MOST_WEIGHTS = 100e6;

export interface Weights {
  readonly values: ArrayBuffer | ((weight: ProgramWeight) => Words);
  /** What the page calls them. */
  readonly name: string;
}

/** The chosen weights of a program; null: random ones. */
export async function weightsFor(program: Program, ask: RunAsk, signal: AbortSignal): Promise<Weights | null> {
  if (ask.weights === "trained") return trainedWeights(program, ask.file, signal);
  return ask.weights === "here" ? weightsLearned(ask.source) : null;
}

/** An error that says why a source gives no program. */
export function refused(what: string, diagnostics: readonly Diagnostic[]): ModelError {
  const error = diagnostics.find((d) => d.severity === "error");
  return new ModelError(`${what}: ${error?.message ?? "it has errors"}`, error?.hint ?? null);
}

/** Throws ModelError for a program with too many weights. */
export function expectSmall({ weights }: Program): void {
  const numbers = weights.reduce((sum, { shape }) => sum + countOf(shape), 0);
  if (numbers > MOST_WEIGHTS)
    throw new ModelError(
      `the model has ${Math.round(numbers / 1e6)} million numbers in its weights, too many for a page`,
      "choose the sizes that fit a page, under Parameters",
    );
}

/** The playground's trained weights, if they fit the model; else null. */
async function trainedWeights(program: Program, file: string, signal: AbortSignal): Promise<Weights | null> {
  const response = await fetch(file, { signal });
  if (!response.ok) throw new Error(`${file} was answered with ${response.status}`);
  const bytes = await response.arrayBuffer();
  try {
    matchWeights(program, readSafetensors(bytes));
  } catch (error) {
    if (error instanceof WeightsError) return null;
    throw error;
  }
  return { values: bytes, name: "weights trained on Moby-Dick" };
}

/** The weights trained in this page. Throws if this program was not trained. */
function weightsLearned(source: RunAsk["source"]): Weights {
  const learned = learnedBy(source);
  if (!learned)
    throw new ModelError("this program was not trained here", "train it, under Train, or choose other weights");
  return { values: learned.values, name: `weights trained here for ${learned.steps} steps` };
}
