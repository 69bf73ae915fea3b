// Penalties of the tokens that a text has generated, as biases that change with each token.
import type { ChangingBias } from "./constrained.js";

/**
 * The biases of penalties, added to `bias`; null without penalties. `presence`: subtracted from the logits of tokens
 * that the text has generated; `frequency`: the same for each time that it has.
 */
export function penalised(
  presence: number,
  frequency: number,
  bias: Float32Array | null,
  vocabulary: number,
): ChangingBias | null {
  if (presence === 0 && frequency === 0) return null;
  /** How often each token was generated. */
  const times = new Map<number, number>();
  let last = 0;
  const penaltyOf = (token: number): number => {
    const count = times.get(token) ?? 0;
    return count === 0 ? 0 : presence + count * frequency;
  };
  return {
    all() {
      const all = bias?.slice() ?? new Float32Array(vocabulary);
      for (const token of times.keys()) all[token]! -= penaltyOf(token);
      return all;
    },
    changed: () => ({ from: last, data: Float32Array.of((bias?.[last] ?? 0) - penaltyOf(last)) }),
    add(token) {
      last = token;
      times.set(token, (times.get(token) ?? 0) + 1);
      return false;
    },
  };
}
