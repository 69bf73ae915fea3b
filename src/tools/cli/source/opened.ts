// Opens the model of a command, and completes the command's options from a training run and from its weights.
import type { CommandUnknownOpts } from "@commander-js/extra-typings";
import type { OpenedModel } from "../../../models/opened/model.js";
import { keptLive, weightsAs, type ModelFlags } from "../tree/options.js";
import { openNamed } from "./model-file.js";
import { hasOption, type RunFlags } from "./trained.js";

/** An opened model, and the words of its command. */
export interface Opened {
  readonly model: OpenedModel;
  /** The completed options. */
  readonly flags: ModelFlags & Pick<RunFlags, "live">;
  /** The arguments, the model first, and the options. */
  readonly words: readonly unknown[];
  /** The same words, with the paths of files that are read. */
  readonly named: readonly unknown[];
}

interface OpeningFlags extends RunFlags {
  readonly model?: string;
  readonly chatTemplate?: string;
}

/** `others`: the arguments after the model's path, the options last. Throws what opening a model throws. */
export async function openFor(command: CommandUnknownOpts, path: string, others: readonly unknown[]): Promise<Opened> {
  const given = others.at(-1) as OpeningFlags; // the options stand last
  const { weights, tokenizer, chatTemplate, set, model: name } = given;
  const model = await openNamed(path, { weights, tokenizer, chatTemplate, set, model: name });
  try {
    const flags = await completed(command, model, given);
    const more = others.slice(0, -1);
    return {
      model,
      flags,
      words: [model, ...more, flags],
      named: [model.path, ...more, { ...flags, ...broughtByRun(command, model, given) }],
    };
  } catch (fault) {
    await model.close();
    throw fault;
  }
}

async function completed<F extends RunFlags>(command: CommandUnknownOpts, model: OpenedModel, given: F): Promise<F> {
  let flags = given;
  if (model.run !== null || (model.weights?.runs.length ?? 0) > 0) {
    const { withRun } = await import("./trained.js");
    flags = withRun(command, model, flags);
  }
  if (command.options.includes(keptLive)) {
    const { withKeptLive } = await import("./trained.js");
    flags = await withKeptLive(model, flags);
  }
  // training stores only weights that do not learn in blocks
  if (!command.options.includes(weightsAs) || command.name() === "train") return flags;
  const { withBlocks } = await import("./in-blocks.js");
  return withBlocks(model, flags);
}

/** The paths of weights and tokenizer that a run brings, as the command's options would name them. */
function broughtByRun(
  command: CommandUnknownOpts,
  model: OpenedModel,
  { data }: { readonly data?: string },
): { readonly weights?: string; readonly tokenizer?: string } {
  const weights = model.weights?.run ? { weights: model.weights.run.path } : {};
  // `verify` reads texts only from --data.
  const readsText = hasOption(command, "tokenizer") && (command.name() !== "verify" || data !== undefined);
  const tokenizer = model.run !== null && readsText ? model.tokenizer : null;
  return { ...weights, ...(tokenizer && { tokenizer: tokenizer.path }) };
}
