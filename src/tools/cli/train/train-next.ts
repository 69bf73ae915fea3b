// Suggests next steps after training: the best checkpoint, and a command that uses it.
import { GenerationError } from "../../../compiler/lower/generation-error.js";
import { checkAs, graphsOf } from "../../../compiler/recipes.js";
import type { ModelChoice } from "../../train/model.js";
import type { TrainResult } from "../../train/result.js";
import { bytesTokenizer } from "../../../models/tokenizer/tokenizer.js";
import type { ModelText } from "../source/model-file.js";

/** The lines printed after a run; none without a checkpoint. */
export function nextLines(
  { output, checkpoint, bestSoFar }: Pick<TrainResult, "output" | "checkpoint" | "bestSoFar">,
  text: ModelText,
  choice: ModelChoice & { readonly tokenizer: string | null; readonly precision: string },
): readonly string[] {
  // As commands open the folder.
  const path = bestSoFar ?? checkpoint;
  if (path === null) return [];
  const run = `${shellWord(output)}${choice.precision === "f32" ? "" : ` --weights-as ${choice.precision}`}`;
  return [
    `the ${bestSoFar === null ? "last" : "best"} checkpoint is ${path}`,
    `try it with ${generates(text, choice) ? `modc generate ${run} --prompt "…"` : `modc eval ${run}`}`,
  ];
}

/** Whether `modc generate` accepts the model. */
function generates(
  { source, read }: ModelText,
  { model: name, set, tokenizer }: Parameters<typeof nextLines>[2],
): boolean {
  const { model } = checkAs(source, { program: "step", set, read, model: name });
  if (model === null) return false;
  try {
    // Without a tokenizer only byte-level models generate text.
    return graphsOf(model).generation().vocabulary === bytesTokenizer.vocabulary || tokenizer !== null;
  } catch (fault) {
    if (fault instanceof GenerationError) return false;
    throw fault;
  }
}

/** A path quoted for a shell where necessary. */
export const shellWord = (path: string): string =>
  /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
