// Biases that change with each token of a text. A constraint gives −Infinity to the tokens that it does not allow.

/** The tokens that may come next in a text. */
export interface AllowedTokens {
  /** A bit for each token: bit t % 32 of word t / 32. */
  readonly tokens: Uint32Array;
  /** Whether a token that ends the text may come. */
  readonly end: boolean;
}

/** Holds one text to a form, such as a grammar. */
export interface TokenConstraint {
  /** What may come next. May throw if nothing may. */
  next(): AllowedTokens;
  /** Adds a token that does not end the text; true if no token may follow. */
  add(token: number): boolean;
}

/** Biases of one text, which change with each token. */
export interface ChangingBias {
  /** The biases of all tokens; null: no token has one. Throws what a constraint throws that allows nothing. */
  all(): Float32Array | null;
  /** The biases that the last token may have changed, from the token `from` on. Throws as `all`. */
  changed(): { readonly from: number; readonly data: Float32Array };
  /** Takes a generated token that does not end the text; true if no token may follow. */
  add(token: number): boolean;
}

/** The biases of a constraint, with `others` for the tokens that it allows. `ends`: tokens that end the text. */
export function constrained(
  constraint: TokenConstraint,
  ends: Iterable<number>,
  others: Pick<ChangingBias, "all" | "add">,
  vocabulary: number,
): ChangingBias {
  const all = (): Float32Array => constrainedBias(constraint.next(), ends, others.all(), vocabulary);
  return {
    all,
    changed: () => ({ from: 0, data: all() }),
    add: (token) => (others.add(token), constraint.add(token)),
  };
}

/** Biases under which only allowed tokens come, and tokens of `ends` if the text may end: f32[vocabulary]. */
function constrainedBias(
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
