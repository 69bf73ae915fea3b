// Completes `modc train --resume` from the run's folder: the model's source and the options.
import { existsSync } from "node:fs";
import { isAbsolute } from "node:path";
import type { Before } from "../../train/resume-node.js";
import type { OpenedModel } from "../../../models/open.js";
import type { TokenizerSource } from "../../../models/tokenizer/source-node.js";
import { mergedPairs } from "../tree/arguments.js";
import { EXIT, UserError } from "../terminal/exit.js";
import type { ModelText } from "../source/model-file.js";
import type { TrainFlags } from "../tree/training.js";

/** The model and options of a training run. */
export interface Asked {
  readonly text: ModelText;
  /** Null: each byte is a token. */
  readonly tokenizer: TokenizerSource | string | null;
  readonly flags: TrainFlags & { readonly data: string };
}

/**
 * The model and options of the command, completed from the resumed run; `before` is null for a new run. Throws
 * UserError for missing options.
 */
export function askedFor(opened: OpenedModel | undefined, flags: TrainFlags, before: Before | null): Asked {
  const begun = before?.manifest.begun ?? null;
  if (opened === undefined && before === null)
    throw new UserError("missing required argument 'file'", "give the model: only --resume knows it", EXIT.usage);
  if (before !== null && flags.model !== undefined && flags.model !== before.manifest.model)
    throw new UserError(
      `the run trains ${before.manifest.model}, not ${flags.model}`,
      "leave out --model to continue it",
    );
  const data = flags.data ?? begun?.data;
  if (data === undefined)
    throw new UserError(
      "required option '--data <what>' not specified",
      before === null ? null : "give the text with --data: an earlier modc wrote the checkpoint without it",
      EXIT.usage,
    );
  const tokenizer = opened?.tokenizer ?? flags.tokenizer ?? begun?.tokenizer ?? null;
  for (const [option, path, own] of [
    ["--data", data, flags.data],
    ["--tokenizer", typeof tokenizer === "string" ? tokenizer : null, flags.tokenizer],
  ] as const)
    if (own === undefined && path !== null && isAbsolute(path) && !existsSync(path))
      throw new UserError(`${path}, which the run started with, is missing`, `give its present path: ${option}`);
  const field = flags.field ?? begun?.field ?? null;
  return {
    text: opened ?? keptText(before!),
    tokenizer,
    flags: {
      ...flags,
      data,
      ...(field === null ? {} : { field }),
      set: mergedPairs(begun?.set ?? {}, flags.set ?? {}),
      ...(before === null ? {} : { model: flags.model ?? before.manifest.model }),
    },
  };
}

/** The source stored in the checkpoint, under its original paths. */
function keptText({ sources }: Before): ModelText {
  const [own, ...imported] = sources;
  if (!own) throw new UserError("the checkpoint does not contain the source of its model", "give the model's file");
  const texts = new Map(imported.map(({ path, text }) => [path, text]));
  return {
    source: { file: own.path, text: own.text },
    read: (path) => texts.get(path) ?? texts.get(`./${path}`) ?? null,
  };
}
