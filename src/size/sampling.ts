// What the operator `sample` reads of each sequence, and the random word it draws by: alike for the compiler, the
// runtime and whoever fills the table.
import { philox } from "./philox.js";

/**
 * The columns of the table of settings, f32[sequences, columns], in order. A value that changes nothing:
 * - `temperature`: logits are divided by it; 0: the largest is taken, whatever the filters.
 * - `topK`: the k largest stay; 0: all.
 * - `topP`: the least mass of the largest that stays; 1: all.
 * - `minP`: the least probability that stays, as a share of the largest; 0: all.
 * - `repetitionPenalty`: what logits of seen tokens are divided by, or multiplied where negative; 1: nothing.
 * - `biased`: whether the row of biases is read at all, 0 or 1.
 * - `logProbability`: whether it is computed, 0 or 1.
 */
export const SAMPLING_COLUMNS = [
  "temperature",
  "topK",
  "topP",
  "minP",
  "repetitionPenalty",
  "biased",
  "logProbability",
] as const;

export type SamplingColumn = (typeof SAMPLING_COLUMNS)[number];

/** Last word of the counter: "samp" in ASCII, so that no random operator shares a word with a draw. */
export const SAMPLE_COUNTER = 0x73616d70;

/**
 * The word w of a draw, which takes the token at w / 2^32 of the mass: from the seed of the sequence, two words, and
 * the number of the token in it.
 */
export const sampleWord = (seed: readonly [number, number], position: number): number =>
  philox([position, 0, 0, SAMPLE_COUNTER], seed)[0];

/** Words of a set of that many tokens, a bit each. */
export const seenWords = (vocabulary: number): number => Math.ceil(vocabulary / 32);
