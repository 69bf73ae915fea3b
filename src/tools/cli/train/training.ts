// Training from the command line: checks the model and shows progress before the first step.
import type { TrainingModel } from "../../train/model.js";
import type { Preparation } from "../../train/open-trainer.js";
import type { TrainerProgram } from "../../train/trainer.js";
import { showDiagnostics } from "../terminal/diagnostics.js";
import { weightsStage } from "../terminal/loading.js";
import type { ModelText } from "../source/model-file.js";
import type { Progress } from "../terminal/terminal.js";
import { plural } from "../terminal/units.js";
import type { ModelFlags } from "../tree/options.js";

/** Checks a model's objective; prints its warnings with `show`. Throws SourceError where it has errors. */
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

/** The model's name and parameters of the flags. */
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
  accumulate: "summing gradients",
  "top-k": "validation",
  causal: "validation by the causal rule",
};

/** Shows a line for each stage before the first step. `given`: whether weights were passed. */
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
