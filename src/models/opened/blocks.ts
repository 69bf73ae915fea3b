// Finds out whether a checkpoint's weights are stored in blocks, which devices then read as they are. Node only.
import { compile, type CompileOptions } from "../../compiler/compile.js";
import { isBlockType } from "../../runtime/program/encodings/block-file.js";
import { WeightsError } from "../../runtime/device/errors.js";
import { matchWeights } from "../../runtime/index.js";
import { openWeights } from "../../runtime/node.js";
import { BLOCKS_OF } from "../../runtime/weights/stored.js";

/** The type of weights in memory by which a device reads the blocks of a checkpoint unchanged. */
export type InBlocks = keyof typeof BLOCKS_OF;

/** A model's text and how it is compiled. */
export interface BlocksModel {
  readonly text: string;
  readonly options: CompileOptions;
}

/** The weights of a file, some of which are in blocks. */
export interface BlocksFound {
  /** The type in which devices read those. */
  readonly form: InBlocks;
  /** Whether the file has all weights in it that a device would read so. */
  readonly all: boolean;
}

/**
 * How a device can read the blocks of a file; null for a file without any. `model` is called only for a file with
 * blocks of one type. Faults of the model or its weights give null: loading reports them.
 */
export async function blocksOf(weights: string, model: () => Promise<BlocksModel>): Promise<BlocksFound | null> {
  try {
    const opened = await openWeights(weights);
    try {
      const types = new Set([...opened.tensors.values()].map(({ dtype }) => dtype).filter(isBlockType));
      const form = (["q8", "q4"] as const).find((name) => types.has(BLOCKS_OF[name]));
      if (form === undefined) return null;
      const some: BlocksFound = { form: types.has(BLOCKS_OF.q4) ? "q4" : "q8", all: false };
      if (types.size > 1) return some;
      const { text, options } = await model();
      const { program } = compile(text, { ...options, precision: { weights: form } });
      if (!program) return null;
      const matched = matchWeights(program, opened);
      const inBlocks = program.weights.filter(({ slots }) => slots.some((slot) => slot.form === form));
      const stored = inBlocks.flatMap((weight) => matched.get(weight)!.map((key) => opened.tensors.get(key)!.dtype));
      if (stored.length === 0) return null;
      return stored.every((dtype) => dtype === BLOCKS_OF[form]) ? { form, all: true } : some;
    } finally {
      await opened.close();
    }
  } catch (fault) {
    if (fault instanceof WeightsError) return null;
    throw fault;
  }
}
