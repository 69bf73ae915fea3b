// The settings table that the operator `sample` reads for each sequence, and the random word of each draw; shared by
// the compiler, the runtime and the writer of the table.
import { philox } from "./philox.js";

/**
 * The columns of the settings table, f32[sequences, columns], in order, and the neutral value of each filter:
 * - `temperature`: the divisor of the logits; 0: take the largest logit, without filters.
 * - `topK`: keep the k largest; 0: all.
 * - `topP`: keep the largest until their probability mass reaches this; 1: all.
 * - `minP`: keep tokens whose probability is at least this share of the largest; 0: all.
 * - `repetitionPenalty`: logits of seen tokens are divided by this, or multiplied if negative; 1: unchanged.
 * - `biased`: whether the row of biases is read, 0 or 1.
 * - `logProbability`: whether the log-probability is computed, 0 or 1.
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

/** Last word of the Philox counter: "samp" in ASCII, so that no random operator uses the same counter. */
export const SAMPLE_COUNTER = 0x73616d70;

/**
 * The random word w of a draw, computed from the sequence's two seed words and the token's position. The draw takes the
 * token at w / 2^32 of the cumulative mass.
 */
export const sampleWord = (seed: readonly [number, number], position: number): number =>
  philox([position, 0, 0, SAMPLE_COUNTER], seed)[0];

/** The number of u32 words of a token set with one bit per token. */
export const seenWords = (vocabulary: number): number => Math.ceil(vocabulary / 32);
