// What the programs keep of a text in its slot: written when the text gets the slot.
import { constrainedBias } from "../generate/constrained.js";
import { SAMPLING_COLUMNS, seenWords } from "../../ground/numerics/sampling.js";
import type { Paged } from "./options.js";
import type { Sequence } from "./sequence.js";
import type { Write } from "./state-edits.js";

/** The writes that make a slot that of a text, whose first tokens are in the cache already. */
export function slotWrites(paged: Paged, sequence: Sequence, slot: number): readonly Write[] {
  const { sampling, vocabulary, pages } = paged;
  const { tables } = sequence.settled;
  const words = seenWords(vocabulary);
  const seen = new Uint32Array(words);
  // Runs mark what they read. A penalty is for tokens of the whole text.
  for (const token of sequence.tokens.slice(0, sequence.read)) seen[token >>> 5]! |= 1 << (token & 31);
  const bias = biasOf(sequence, vocabulary);
  const settings = tables.settings.slice();
  if (bias) settings[SAMPLING_COLUMNS.indexOf("biased")] = 1;
  return [
    { state: sampling.settings, element: slot * SAMPLING_COLUMNS.length, data: settings },
    { state: sampling.seeds, element: slot * 2, data: tables.seeds },
    ...(bias ? [{ state: sampling.bias, element: slot * vocabulary, data: bias }] : []),
    { state: pages.seen, element: slot * words, data: seen },
    ...pages.axes.map(({ counts }, axis) => ({
      state: counts,
      element: slot,
      data: Uint32Array.of(sequence.rows[axis]!),
    })),
  ];
}

/** The biases of a text with its penalties and its constraint; null if no token has a bias. */
function biasOf(sequence: Sequence, vocabulary: number): Float32Array | null {
  const { ends, request } = sequence.settled;
  const own = ownBiasOf(sequence, vocabulary);
  return request.constraint ? constrainedBias(request.constraint.next(), ends, own, vocabulary) : own;
}

function ownBiasOf(sequence: Sequence, vocabulary: number): Float32Array | null {
  const { bias } = sequence.settled.tables;
  if (sequence.times === null) return bias;
  const all = bias?.slice() ?? new Float32Array(vocabulary);
  for (const token of sequence.times.keys()) all[token]! -= penaltyOf(sequence, token);
  return all;
}

/**
 * The write that brings the biases up to date with the token chosen last: its penalty, or all that a constraint now
 * allows; null where there is none. Throws what the constraint throws.
 */
export function biasWrite(paged: Paged, sequence: Sequence): Write | null {
  const { slot, settled } = sequence;
  if (!sequence.waitsForTokens || slot === null) return null;
  if (settled.request.constraint) {
    const data = biasOf(sequence, paged.vocabulary)!; // a constraint has biases
    return { state: paged.sampling.bias, element: slot * paged.vocabulary, data };
  }
  const token = sequence.tokens.at(-1)!;
  const { bias } = sequence.settled.tables;
  const value = (bias?.[token] ?? 0) - penaltyOf(sequence, token);
  return { state: paged.sampling.bias, element: slot * paged.vocabulary + token, data: Float32Array.of(value) };
}

/** What penalties take from the logit of a token. */
function penaltyOf({ times, settled }: Sequence, token: number): number {
  const { presencePenalty = 0, frequencyPenalty = 0 } = settled.request.sampling ?? {};
  const count = times?.get(token) ?? 0;
  return count === 0 ? 0 : presencePenalty + count * frequencyPenalty;
}

/** Whether a text takes the token of the largest logit, as it came. */
export const isGreedy = ({ settled, waitsForTokens }: Sequence): boolean => !waitsForTokens && settled.tables.greedy;
