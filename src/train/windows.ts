// Which tokens each step reads: the split, the windows of an epoch, their random order, and the place in it as a record
// that a checkpoint keeps.
import { TrainError } from "./errors.js";
import { draw, DRAW, permuted } from "./permutation.js";

/**
 * The tokens for training, [0, boundary), and those held out, [boundary, tokens): never the same ones, targets
 * included.
 */
export interface Split {
  readonly tokens: number;
  readonly boundary: number;
}

/** The next window to be read. With the seed, the split and the context it says everything that follows. */
export interface DataPosition {
  readonly epoch: number;
  /** Windows of the epoch that were read already. */
  readonly window: number;
}

export const START: DataPosition = { epoch: 0, window: 0 };

/**
 * The last `share` of the tokens is held out, and at least one window of them; 0 holds nothing out. A window has
 * `context` tokens and one more, the target of its last. Throws TrainError where either part is shorter than a window.
 */
export function split(tokens: number, context: number, share: number): Split {
  if (!(share >= 0 && share < 1))
    throw new TrainError("bad-option", `the validation share is ${share}: it must be at least 0 and below 1`);
  const window = context + 1;
  if (tokens < window)
    throw new TrainError(
      "bad-data",
      `the text has ${count(tokens, "token")}, a window of context ${context} needs ${window}`,
      {
        hint: "give a longer text or a smaller context",
      },
    );
  if (share === 0) return { tokens, boundary: tokens };
  const held = Math.max(window, Math.floor(tokens * share));
  if (tokens - held < window)
    throw new TrainError(
      "bad-data",
      `the text has ${count(tokens, "token")}: of context ${context}, training and validation need ${window} ` +
        `each, ${2 * window} together`,
      { hint: "give a longer text, a smaller context, or no validation" },
    );
  return { tokens, boundary: tokens - held };
}

/** Where an epoch's windows begin: each epoch cuts the text at other places. At least one window fits. */
export function epochWindows(
  boundary: number,
  context: number,
  seed: number,
  epoch: number,
): { readonly first: number; readonly windows: number } {
  const slack = Math.min(context, boundary - context); // offsets below it leave room for a window
  const first = slack <= 0 ? 0 : draw(seed, epoch, DRAW.offset, 0, 0) % slack;
  return { first, windows: Math.floor((boundary - 1 - first) / context) };
}

/**
 * First tokens of the next windows, and the position after them. An epoch reads each of its windows once; a batch may
 * reach into the next epoch.
 */
export function nextWindows(
  position: DataPosition,
  rows: number,
  { boundary, context, seed }: { readonly boundary: number; readonly context: number; readonly seed: number },
): { readonly offsets: readonly number[]; readonly next: DataPosition } {
  const offsets: number[] = [];
  let { epoch, window } = position;
  while (offsets.length < rows) {
    const { first, windows } = epochWindows(boundary, context, seed, epoch);
    if (window >= windows) {
      epoch++;
      window = 0;
    } else offsets.push(first + context * permuted(window++, windows, seed, epoch));
  }
  return { offsets, next: { epoch, window } };
}

/** So many tokens from one on; their targets reach one token further. */
export interface Window {
  readonly offset: number;
  readonly length: number;
}

/** The windows of a stretch of tokens in order; the last may be shorter. Every token but the first is a target once. */
export function wholeWindows(from: number, to: number, context: number): readonly Window[] {
  const windows = [];
  for (let offset = from; offset < to - 1; offset += context)
    windows.push({ offset, length: Math.min(context, to - 1 - offset) });
  return windows;
}

const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? "" : "s"}`;
