// What training is for the command line: its model read and checked, its progress shown.
import type { TrainingModel } from "../../train/model.js";
import type { Preparation } from "../../train/open-trainer.js";
import type { TrainerProgram } from "../../train/trainer.js";
import { showDiagnostics } from "../terminal/diagnostics.js";
import { weightsStage } from "../terminal/loading.js";
import type { ModelText } from "../source/model-file.js";
import type { Progress } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";
import type { ModelFlags } from "../tree/options.js";

/** Reads and checks a model's objective; prints its warnings, by `show`. Throws SourceError where there is none. */
export async function checkedModel(
  text: ModelText,
  flags: Pick<ModelFlags, "set" | "model">,
  show = showDiagnostics,
): Promise<TrainingModel> {
  const { trainingModel } = await import("../../train/model.js");
  const { model, diagnostics, sources } = trainingModel(text, choiceOf(flags));
  show(diagnostics, sources);
  return model;
}

/** Which model, with which parameters. */
export const choiceOf = ({
  set = {},
  model,
}: Pick<ModelFlags, "set" | "model">): {
  readonly model: string | undefined;
  readonly set: Readonly<Record<string, string>>;
} => ({
  model,
  set,
});

const PROGRAMS: Readonly<Record<TrainerProgram, string>> = {
  step: "the step",
  accumulate: "gradients that are added up",
  "top-k": "validation",
  causal: "validation by the causal rule",
};

/** A line for each thing that is done before the first step. `given` says whether there are weights to load. */
export function showPreparation(done: Preparation, progress: Progress, { given }: { readonly given: boolean }): void {
  switch (done.kind) {
    case "text":
      progress.report("reading the text", `${Math.floor((100 * done.done) / Math.max(1, done.total))}%`);
      break;
    case "device":
      progress.report("opening the device");
      break;
    case "compile":
      progress.report("compiling the model");
      break;
    case "kernels":
      progress.report(
        `compiling ${PROGRAMS[done.of]}`,
        `${plural(done.total, "kernel")}, ${done.done} done`,
        `compiling ${plural(done.total, "kernel")} of ${PROGRAMS[done.of]}`,
      );
      break;
    case "weights":
      progress.report(weightsStage(given), `${done.done}/${done.total}`);
      break;
    default:
      done satisfies never;
  }
}
