// The samples of a run: encodes the prompt as the run's text, and decodes its continuation.
import { bug } from "../../ground/base/invariant.js";
import type { Corpus } from "./corpus-node.js";
import { TrainError } from "./errors.js";
import type { LoopOptions } from "./loop.js";
import type { TrainSettings } from "./options.js";
import type { SampleOptions, StepSettings, Trainer } from "./types.js";

interface SampledRun extends Pick<SampleOptions, "weights" | "signal"> {
  readonly corpus: Pick<Corpus, "encode" | "show" | "separator">;
  readonly settings: TrainSettings;
  readonly trainer: Trainer;
  /** Live parameters after a step. */
  readonly live: (step: number) => NonNullable<StepSettings["live"]>;
}

/** Null if the run has no prompt. Throws TrainError for a prompt as long as the context. */
export async function samplesOf(run: SampledRun): Promise<LoopOptions["samples"]> {
  const { corpus, settings, trainer, live, weights, signal } = run;
  const { sample: text, sampleEvery, context } = settings;
  if (text === "") return null;
  if (!trainer.sample) bug("a trainer without the programs of samples");
  const sample = trainer.sample.bind(trainer);
  const prompt = await corpus.encode(text);
  if (prompt.length >= context)
    throw new TrainError("bad-option", `sample has ${prompt.length} tokens, and the context ${context}`, {
      hint: "give a shorter prompt",
    });
  const ends = corpus.separator === null ? [] : [corpus.separator];
  return {
    every: sampleEvery,
    take: async (step) => {
      const tokens = await sample({ prompt, ends, live: live(step), weights, signal });
      return { kind: "sample", step, prompt: text, text: corpus.show(tokens).join("") };
    },
  };
}
