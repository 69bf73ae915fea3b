// Training from the command line: checks the model, shows progress before the first step, and saves texts that are not
// in a file.
import type { TrainingModel } from "../../train/model.js";
import type { Preparation } from "../../train/open-trainer.js";
import type { TrainerProgram } from "../../train/trainer.js";
import { showDiagnostics } from "../terminal/diagnostics.js";
import { weightsStage, type Progress } from "../terminal/terminal.js";
import type { ModelText } from "../source/model-file.js";
import { plural } from "../terminal/units.js";
import type { ModelFlags } from "../tree/options.js";
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../terminal/exit.js";
import { makeFolder, readBytes, STDIN, writeText } from "../source/files.js";

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
      progress.report("reading the data", `${Math.floor((100 * done.done) / Math.max(1, done.total))}%`);
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

/**
 * The path of the text: `data` itself, or a file in `folder` with the contents of standard input. With `field` that is
 * JSONL.
 */
export function dataIn(folder: string, data: string, field: string | undefined): string {
  if (data !== STDIN) return data;
  const bytes = readBytes(STDIN);
  if (bytes.length === 0) throw new UserError("standard input is empty");
  return saved(folder, bytes, field);
}

/** The path of a file in `folder` with a text. */
export const textIn = (folder: string, text: string): string => saved(folder, Buffer.from(text), undefined);

function saved(folder: string, bytes: Uint8Array, field: string | undefined): string {
  const digest = createHash("sha256").update(bytes).digest("hex").slice(0, 12);
  const path = join(folder, `text-${digest}.${field === undefined ? "txt" : "jsonl"}`);
  makeFolder(folder);
  if (statSync(path, { throwIfNoEntry: false })?.size !== bytes.length) writeText(path, bytes);
  return path;
}
