// Samples of text during training: a prompt continued by the causal rule from the current weights, by the engine of all
// generation.
import { generationModel } from "../../compiler/compile-generation.js";
import { GenerationError } from "../../compiler/lower/generation-error.js";
import type { Tunings } from "../../compiler/schedule/tunings/index.js";
import { createGenerator } from "../../generation/generate/index.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Device } from "../../runtime/index.js";
import { TrainError } from "./errors.js";
import type { ModelChoice, ModelSource } from "./model.js";
import type { TrainSettings } from "./options.js";
import type { SampleOptions, TrainingState } from "./types.js";

/** Tokens of a sample. */
export const SAMPLE_TOKENS = 64;

/** Compiles a model for samples. Throws TrainError if it cannot generate, or if its weights are not all f32. */
export function sampleProgram(
  { source, read }: ModelSource,
  { set, model: name }: ModelChoice,
  { target }: Pick<Device, "target">,
  tunings: Tunings,
  { precision }: Pick<TrainSettings, "precision">,
): Generation {
  if (precision !== "f32")
    throw new TrainError("bad-option", `sample needs weights in f32, but precision is ${precision}`, {
      hint: "leave one of them out",
    });
  const cannot = (reason: string): TrainError =>
    new TrainError("bad-option", `sample has no effect: the model cannot generate: ${reason}`, {
      hint: "leave it out",
    });
  try {
    const { forTarget, diagnostics } = generationModel(source.text, {
      file: source.file,
      read,
      set,
      ...(name === undefined ? {} : { model: name }),
    });
    if (forTarget) return forTarget(target, tunings);
    throw cannot(diagnostics.find(({ severity }) => severity === "error")!.message);
  } catch (fault) {
    throw fault instanceof GenerationError ? cannot(fault.message) : fault;
  }
}

/**
 * The most likely continuation of a prompt with the weights of a state: at most `SAMPLE_TOKENS` tokens, fewer if the
 * text ends or the context is full. Loads the weights onto the device for as long as it takes.
 */
export async function continued(
  generation: Generation,
  device: Device,
  state: TrainingState,
  { prompt, ends, live = {}, weights, signal }: SampleOptions,
): Promise<readonly number[]> {
  const generator = await createGenerator(
    generation,
    device,
    (weight) => state.get(weight.path)?.data ?? weights(weight),
    { maxBatch: 1, recover: null, live, ...(signal && { signal }) },
  );
  try {
    const tokens: number[] = [];
    const options = { maxTokens: SAMPLE_TOKENS, ends, ...(signal && { signal }) };
    for await (const { token, finish } of generator.generate([prompt], options))
      if (finish !== "end") tokens.push(token);
    return tokens;
  } finally {
    generator.dispose();
  }
}
