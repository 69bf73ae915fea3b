// Completes the options of a command for weights in blocks, which devices read as they are.
import { blocksOf } from "../../../models/opened/blocks.js";
import { say } from "../terminal/terminal.js";
import type { ModelFlags, PrecisionFlags } from "../tree/options.js";
import { STDIN } from "./files.js";
import { compileOptions } from "./frontend.js";
import { readModel, withFolder } from "./model-file.js";

export interface BlocksFlags extends ModelFlags, PrecisionFlags {
  readonly weights?: string;
  readonly device?: string;
  readonly json?: boolean;
  /** Whether `weightsAs` is the file's own type of blocks. */
  readonly ownBlocks?: boolean;
}

/** The flags with `weightsAs`, if the weights are in blocks and no option says how they are stored. */
export async function withBlocks<F extends BlocksFlags>(file: string, flags: F): Promise<F> {
  const { weights } = withFolder(file, flags);
  const isSet = flags.weightsAs !== undefined || flags.activationsAs !== undefined || flags.device === "reference";
  if (isSet || weights === undefined || /^\w+:\/\//.test(weights) || file === STDIN || file.endsWith(".json"))
    return flags;
  const found = await blocksOf(weights, async () => {
    const { set, read, file: name, model } = compileOptions(file, flags);
    const { text } = await readModel(file);
    return { text, options: { set, read, file: name!, ...(model !== undefined && { model }) } };
  });
  if (found === null) return flags;
  const { form: weightsAs, all } = found;
  if (!all) {
    say(
      `note: the file has weights of several types, which are read as f32: --weights-as ${weightsAs} keeps them small`,
    );
    return flags;
  }
  say(`note: weights stay in the blocks of their file, as --weights-as ${weightsAs} says`);
  return { ...flags, weightsAs, ownBlocks: true };
}
