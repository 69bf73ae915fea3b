// The samples of a run: encodes the prompt as the run's data, and decodes its continuation.
import { bug } from "../../ground/base/invariant.js";
import type { TrainingData } from "./data.js";
import { TrainError } from "./errors.js";
import type { LoopOptions } from "./loop.js";
import type { TrainSettings } from "./options.js";
import type { SampleOptions, StepSettings, Trainer } from "./types.js";

interface SampledRun extends Pick<SampleOptions, "weights" | "signal"> {
  readonly data: Pick<TrainingData, "encode" | "show" | "separator">;
  readonly settings: TrainSettings;
  readonly trainer: Trainer;
  /** Live parameters after a step. */
  readonly live: (step: number) => NonNullable<StepSettings["live"]>;
}

/** Null if the run has no prompt. Throws TrainError for a prompt as long as the context. */
export async function samplesOf(run: SampledRun): Promise<LoopOptions["samples"]> {
  const { data, settings, trainer, live, weights, signal } = run;
  const { sample: text, sampleEvery, context } = settings;
  if (text === "") return null;
  if (!trainer.sample) bug("a trainer without the programs of samples");
  const sample = trainer.sample.bind(trainer);
  const prompt = await data.encode(text);
  if (prompt.length >= context)
    throw new TrainError("bad-option", `sample has ${prompt.length} tokens, and the context ${context}`, {
      hint: "give a shorter prompt",
    });
  const ends = data.separator === null ? [] : [data.separator];
  return {
    every: sampleEvery,
    take: async (step) => {
      const tokens = await sample({ prompt, ends, live: live(step), weights, signal });
      return { kind: "sample", step, prompt: text, text: data.show(tokens).join("") };
    },
  };
}
