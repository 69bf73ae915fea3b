// Determines the tokens that each step reads: the training split, an epoch's windows, their random order, and the
// position that a checkpoint stores.
import { TrainError } from "./errors.js";
import { philox } from "../../ground/numerics/philox.js";

/** The training tokens, [0, boundary), and the held-out tokens, [boundary, tokens): disjoint, including targets. */
export interface Split {
  readonly tokens: number;
  readonly boundary: number;
}

/** The next window to read. With the seed, the split and the context, the position determines all later windows. */
export interface DataPosition {
  readonly epoch: number;
  /** Number of windows of the epoch already read. */
  readonly window: number;
}

export const START: DataPosition = { epoch: 0, window: 0 };

/**
 * Holds out the last `share` of the tokens, but at least one window; 0 holds nothing out. A window has `context` + 1
 * tokens: the additional token is the target of the last. Throws TrainError if either part is shorter than a window.
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

/**
 * Offset and number of an epoch's windows: each epoch splits the text at different places. At least one window fits.
 */
export function epochWindows(
  boundary: number,
  context: number,
  seed: number,
  epoch: number,
): { readonly first: number; readonly windows: number } {
  const slack = Math.min(context, boundary - context); // smaller offsets leave room for a window
  const first = slack <= 0 ? 0 : draw(seed, epoch, DRAW.offset, 0, 0) % slack;
  return { first, windows: Math.floor((boundary - 1 - first) / context) };
}

/** The first epochs are counted one by one. Later epochs have the mean length of these. */
const COUNTED = 10_000;

/** The number of epochs in `sequences` windows. An epoch may have one window more or less, by the place of its cuts. */
export function epochsOf(
  sequences: number,
  { boundary, context, seed }: { readonly boundary: number; readonly context: number; readonly seed: number },
): number {
  let read = 0;
  for (let epoch = 0; epoch < COUNTED; epoch++) {
    const { windows } = epochWindows(boundary, context, seed, epoch);
    if (read + windows >= sequences) return epoch + (sequences - read) / windows;
    read += windows;
  }
  return (COUNTED * sequences) / read;
}

/** Number of epochs read up to a position, with the read share of the epoch under way. */
export function epochsAt(
  { epoch, window }: DataPosition,
  { boundary, context, seed }: { readonly boundary: number; readonly context: number; readonly seed: number },
): number {
  return epoch + window / epochWindows(boundary, context, seed, epoch).windows;
}

/**
 * Offsets of the next windows, and the position after them. An epoch reads each window once; a batch may extend into
 * the next epoch.
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

/** `length` tokens from `offset` on; their targets extend one token further. */
export interface Window {
  readonly offset: number;
  readonly length: number;
}

/**
 * The windows of a range of tokens in order; the last may be shorter. Every token but the first is a target exactly
 * once.
 */
export function wholeWindows(from: number, to: number, context: number): readonly Window[] {
  const windows = [];
  for (let offset = from; offset < to - 1; offset += context)
    windows.push({ offset, length: Math.min(context, to - 1 - offset) });
  return windows;
}

const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? "" : "s"}`;

// Random permutations without a stored list: a Feistel network over the counter-based generator.

/** Second word of the key of every random number of training's data: "data" in ASCII. */
export const DATA_KEY = 0x64617461;

/** The use of a random number: the third word of its counter. */
const DRAW = { round: 0, offset: 1 } as const;

const ROUNDS = 6;

/**
 * Element i of a random permutation of 0 … n − 1, for n up to 2^48: a bijection for each seed and epoch. A Feistel
 * network permutes the smallest even number of bits that holds n; a value above n − 1 is permuted again until it is
 * below n, which takes at most four tries on average (Black and Rogaway 2002, "cycle walking").
 */
export function permuted(i: number, n: number, seed: number, epoch: number): number {
  let bits = 1;
  while (4 ** bits < n) bits++; // bits of each half
  const half = 2 ** bits;
  let x = i;
  do {
    let high = Math.floor(x / half);
    let low = x % half;
    for (let round = 0; round < ROUNDS; round++)
      [high, low] = [low, (high ^ (draw(seed, epoch, DRAW.round, low, round) % half)) >>> 0];
    x = high * half + low;
  } while (x >= n);
  return x;
}

/** A word of 32 random bits. */
const draw = (seed: number, epoch: number, use: number, a: number, b: number): number =>
  philox([a >>> 0, epoch >>> 0, (use * 16 + b) >>> 0, 0], [seed >>> 0, DATA_KEY])[0];
