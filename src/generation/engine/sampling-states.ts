// The states that sampling reads, a row for each sequence: written when the sequence gets its place, and its biases
// again after each token if penalties or a constraint ask for it.
import { constrainedBias } from "../sampling/constrained.js";
import { SAMPLING_COLUMNS } from "../../ground/numerics/sampling.js";
import type { Generation } from "../../runtime/program/generation.js";
import type { Sequence } from "./sequence.js";
import type { Write } from "./state-edits.js";

type Sampled = Pick<Generation, "sampling" | "vocabulary">;

/** The settings, seeds and biases of a sequence that has a place. Throws what its constraint throws. */
export function samplingWrites({ sampling, vocabulary }: Sampled, sequence: Sequence): readonly Write[] {
  const { tables } = sequence.settled;
  const slot = sequence.slot!;
  const bias = biasOf(sequence, vocabulary);
  const settings = tables.settings.slice();
  if (bias) settings[SAMPLING_COLUMNS.indexOf("biased")] = 1;
  return [
    { state: sampling.settings, element: slot * SAMPLING_COLUMNS.length, data: settings },
    { state: sampling.seeds, element: slot * 2, data: tables.seeds },
    ...(bias ? [{ state: sampling.bias, element: slot * vocabulary, data: bias }] : []),
  ];
}

/** Milliseconds of work after which others have their turn. */
const SLICE = 20;

/**
 * The writes that bring biases up to date with the tokens chosen last. `fail`: called for a sequence whose constraint
 * allows nothing, or takes too much work.
 */
export async function biasWrites(
  model: Sampled,
  sequences: readonly Sequence[],
  fail: (sequence: Sequence, error: unknown) => void,
): Promise<readonly Write[]> {
  const writes: Write[] = [];
  let began = performance.now();
  for (const sequence of sequences) {
    if (sequence.over || !sequence.waitsForTokens) continue;
    try {
      const write = biasWrite(model, sequence);
      if (write) writes.push(write);
    } catch (error) {
      fail(sequence, error);
    }
    if (performance.now() - began < SLICE) continue;
    await new Promise((resolve) => void setTimeout(resolve));
    began = performance.now();
  }
  return writes;
}

/**
 * The write after a token: its penalty, or all that a constraint now allows; null if there is none. Throws what the
 * constraint throws.
 */
export function biasWrite({ sampling, vocabulary }: Sampled, sequence: Sequence): Write | null {
  const { slot, settled } = sequence;
  if (!sequence.waitsForTokens || slot === null) return null;
  if (settled.request.constraint) {
    const data = biasOf(sequence, vocabulary)!; // a constraint has biases
    return { state: sampling.bias, element: slot * vocabulary, data };
  }
  const token = sequence.tokens.at(-1)!;
  const { bias } = sequence.settled.tables;
  const value = (bias?.[token] ?? 0) - penaltyOf(sequence, token);
  return { state: sampling.bias, element: slot * vocabulary + token, data: Float32Array.of(value) };
}

/** The biases of a sequence with its penalties and its constraint; null if no token has a bias. */
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

/** What penalties subtract from the logit of a token. */
function penaltyOf({ times, settled }: Sequence, token: number): number {
  const { presencePenalty = 0, frequencyPenalty = 0 } = settled.request.sampling ?? {};
  const count = times?.get(token) ?? 0;
  return count === 0 ? 0 : presencePenalty + count * frequencyPenalty;
}
