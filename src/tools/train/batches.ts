// Batches of text windows: in random order for training, in order for evaluation.
import type { TextInputs } from "../../language/check/model/text-inputs.js";
import type { Corpus } from "./corpus-node.js";
import type { Batch } from "./types.js";
import { nextWindows, type DataPosition, type Split, type Window } from "./windows.js";

export interface BatchOptions {
  readonly corpus: Pick<Corpus, "read" | "separator">;
  readonly inputs: TextInputs;
  readonly split: Split;
  readonly rows: number;
  readonly context: number;
}

/** The batch at a position, and the next position: a pure function of the options, the position and the seed. */
export async function batchAt(
  position: DataPosition,
  seed: number,
  options: BatchOptions,
): Promise<{ readonly batch: Batch; readonly next: DataPosition }> {
  const { offsets, next } = nextWindows(position, options.rows, {
    boundary: options.split.boundary,
    context: options.context,
    seed,
  });
  return { batch: await batchOf(offsets, options.context, options), next };
}

/** Batches of `rows` windows in order; a window shorter than the context forms its own batch. */
export async function* batchesOf(
  windows: readonly Window[],
  options: Omit<BatchOptions, "split">,
): AsyncIterable<Batch> {
  let offsets: number[] = [];
  for (const [i, { offset, length }] of windows.entries()) {
    if (length === options.context) offsets.push(offset);
    if (
      offsets.length === options.rows ||
      (offsets.length > 0 && (length !== options.context || i === windows.length - 1))
    ) {
      yield batchOf(offsets, options.context, options);
      offsets = [];
    }
    if (length !== options.context) yield batchOf([offset], length, options);
  }
}

/** A batch of one window. */
export const windowBatch = (
  { offset, length }: Window,
  options: Pick<BatchOptions, "corpus" | "inputs">,
): Promise<Batch> => batchOf([offset], length, options);

async function batchOf(
  offsets: readonly number[],
  length: number,
  { corpus, inputs }: Pick<BatchOptions, "corpus" | "inputs">,
): Promise<Batch> {
  const tokens = new Uint32Array(offsets.length * length); // [B, T]
  const targets = new (inputs.signed ? Int32Array : Uint32Array)(offsets.length * length);
  let ignored = 0;
  for (const [row, offset] of offsets.entries()) {
    const window = await corpus.read(offset, length + 1);
    tokens.set(window.subarray(0, length), row * length);
    targets.set(window.subarray(1), row * length);
    if (!inputs.signed || corpus.separator === null) continue;
    for (let i = 0; i < length; i++) {
      if (window[i] !== corpus.separator) continue;
      targets[row * length + i] = -1;
      ignored++;
    }
  }
  return {
    inputs: Object.fromEntries([
      [inputs.tokens, tokens] as const,
      ...(inputs.targets === null ? [] : [[inputs.targets, targets] as const]),
    ]),
    rows: offsets.length,
    length,
    ...(ignored > 0 && inputs.targets !== null && { weight: targets.length - ignored }),
  };
}

/**
 * The mask of an observed route over the batch's tokens: 1 for chosen tokens. `index`, u32[B, width]: chosen positions
 * in each sequence; `counts`: their number.
 */
export function chosenTokens(
  index: ArrayLike<number>,
  width: number,
  counts: ArrayLike<number>,
  { rows, length }: Pick<Batch, "rows" | "length">,
): Uint8Array {
  const chosen = new Uint8Array(rows * length);
  for (let b = 0; b < rows; b++) for (let i = 0; i < counts[b]!; i++) chosen[b * length + index[b * width + i]!] = 1;
  return chosen;
}
