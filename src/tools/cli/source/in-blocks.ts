// Completes the options of a command for weights in blocks, which devices read unchanged.
import type { OpenedModel } from "../../../models/opened/model.js";
import { blocksOf } from "../../../models/opened/blocks.js";
import { say } from "../terminal/terminal.js";
import type { ModelFlags, PrecisionFlags } from "../tree/options.js";
import { STDIN } from "./files.js";

export interface BlocksFlags extends Pick<ModelFlags, "set" | "model">, PrecisionFlags {
  readonly device?: string;
  /** Whether `weightsAs` is the file's own type of blocks. */
  readonly ownBlocks?: boolean;
}

/** The flags with `weightsAs`, if the weights are in blocks and no option says how they are stored. */
export async function withBlocks<F extends BlocksFlags>(model: OpenedModel, flags: F): Promise<F> {
  const isSet = flags.weightsAs !== undefined || flags.activationsAs !== undefined || flags.device === "reference";
  if (isSet || model.path === STDIN || model.kind === "program") return flags;
  const found = await blocksOf(model, flags);
  if (found === null) return flags;
  const { form: weightsAs, all } = found;
  if (!all) {
    say(
      `note: the file has weights of several types, which are read as f32; --weights-as ${weightsAs} keeps them small`,
    );
    return flags;
  }
  say(`note: weights keep the blocks of their file, as with --weights-as ${weightsAs}`);
  return { ...flags, weightsAs, ownBlocks: true };
}
