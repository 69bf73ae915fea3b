// Finds out whether a model's weights are stored in blocks that devices read unchanged.
import { compile } from "../../compiler/compile.js";
import { WeightsError } from "../../runtime/device/errors.js";
import {
  BLOCK_ENCODINGS,
  BLOCKS_OF,
  isBlockType,
  type BlockEncoding,
} from "../../runtime/program/encodings/block-file.js";
import { storedEntry } from "../../runtime/weights/parts.js";
import type { OpenedModel } from "./model.js";

/** The choice of a model in the source, and its parameters. */
export interface BlocksChoice {
  readonly model?: string | null | undefined;
  readonly set?: Readonly<Record<string, string | number | boolean>>;
}

/** The weights of a file, some of which are in blocks. */
export interface BlocksFound {
  /** The encoding of weights in memory that keeps these blocks unchanged. */
  readonly form: BlockEncoding;
  /** Whether all weights that would have this encoding are stored in such blocks. */
  readonly all: boolean;
}

/**
 * The blocks of a model's file of weights; null if the file has none, or the weights are not in a file. Also null for
 * faults of the model or its weights, which loading reports.
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
    const stored = inBlocks.flatMap((weight) =>
      matched.get(weight)!.map((key) => storedEntry(opened.tensors, key)!.dtype),
    );
    if (stored.length === 0) return null;
    return stored.every((dtype) => dtype === BLOCKS_OF[form]) ? { form, all: true } : some;
  } catch (fault) {
    if (fault instanceof WeightsError) return null;
    throw fault;
  }
}
