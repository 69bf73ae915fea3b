// Constraints as biases: tokens that may not come have −Infinity.

/** The tokens that may come next in a text. */
export interface AllowedTokens {
  /** A bit for each token: bit t % 32 of word t / 32. */
  readonly tokens: Uint32Array;
  /** Whether a token that ends the text may come. */
  readonly end: boolean;
}

/**
 * Biases under which only allowed tokens come, and tokens of `ends` where the text may end: f32[vocabulary]. `bias`:
 * those of the tokens themselves.
 */
export function constrainedBias(
  { tokens, end }: AllowedTokens,
  ends: Iterable<number>,
  bias: Float32Array | null,
  vocabulary: number,
): Float32Array {
  const all = new Float32Array(vocabulary).fill(-Infinity);
  for (const [at, word] of tokens.entries())
    for (let left = word; left !== 0; left &= left - 1) {
      const token = 32 * at + 31 - Math.clz32(left & -left);
      all[token] = bias?.[token] ?? 0;
    }
  for (const token of ends) if (token < vocabulary) all[token] = end ? (bias?.[token] ?? 0) : -Infinity;
  return all;
}
