// Finds out whether a model's weights are stored in blocks that devices read unchanged.
import { compile } from "../../compiler/compile.js";
import { WeightsError } from "../../runtime/device/errors.js";
import {
  BLOCK_ENCODINGS,
  BLOCKS_OF,
  isBlockType,
  type BlockEncoding,
} from "../../runtime/program/encodings/block-file.js";
import type { OpenedModel } from "./model.js";

/** The choice of a model in the source, and its parameters. */
export interface BlocksChoice {
  readonly model?: string | null | undefined;
  readonly set?: Readonly<Record<string, string | number | boolean>>;
}

/** The weights of a file, some of which are in blocks. */
export interface BlocksFound {
  /** The type of weights in memory by which a device reads these blocks unchanged. */
  readonly form: BlockEncoding;
  /** Whether the file has all weights in it that a device would read so. */
  readonly all: boolean;
}

/**
 * How a device can read the blocks of a model's file of weights; null for a file without any, and for weights that are
 * not in a file. Faults of the model or its weights give null: loading reports them.
 */
export async function blocksOf(from: OpenedModel, { model, set = {} }: BlocksChoice): Promise<BlocksFound | null> {
  const { weights } = from;
  if (weights === null || weights.place === null || weights.origin !== "tensors") return null;
  try {
    const opened = await weights.source();
    const types = new Set([...opened.tensors.values()].map(({ dtype }) => dtype).filter(isBlockType));
    const form = BLOCK_ENCODINGS.findLast((name) => types.has(BLOCKS_OF[name]));
    if (form === undefined) return null;
    const some: BlocksFound = { form, all: false };
    if (types.size > 1) return some;
    const { source, read } = from;
    const options = { file: source.file, read, set, precision: { weights: form }, ...(model && { model }) };
    const { program } = compile(source.text, options);
    if (!program) return null;
    const matched = opened.match(program);
    const inBlocks = program.weights.filter(({ slots }) => slots.some((slot) => slot.form === form));
    const stored = inBlocks.flatMap((weight) => matched.get(weight)!.map((key) => opened.tensors.get(key)!.dtype));
    if (stored.length === 0) return null;
    return stored.every((dtype) => dtype === BLOCKS_OF[form]) ? { form, all: true } : some;
  } catch (fault) {
    if (fault instanceof WeightsError) return null;
    throw fault;
  }
}
