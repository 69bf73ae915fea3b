// Log-probabilities of tokens, from the logits of a run.

/** A token and its log-probability. */
export interface Likely {
  readonly token: number;
  readonly logprob: number;
}

/** A token with its log-probability, and the most likely tokens in its place, the likeliest first. */
export interface Scored {
  readonly logprob: number;
  readonly top: readonly Likely[];
}

/**
 * The log-probability of `token` and the `most` likeliest tokens, from the logits at [offset, offset + vocabulary). Of
 * equal logits the smaller token comes first. In 64 bits; NaN where a logit is NaN or infinite.
 */
export function scoreOf(
  logits: ArrayLike<number>,
  offset: number,
  vocabulary: number,
  token: number,
  most: number,
): Scored {
  let largest = -Infinity;
  for (let v = 0; v < vocabulary; v++) largest = Math.max(largest, logits[offset + v]!);
  let sum = 0;
  for (let v = 0; v < vocabulary; v++) sum += Math.exp(logits[offset + v]! - largest);
  const norm = largest + Math.log(sum);
  const top: Likely[] = [];
  if (most === 0) return { logprob: logits[offset + token]! - norm, top };
  for (let v = 0; v < vocabulary; v++) {
    const logprob = logits[offset + v]! - norm;
    if (top.length === most && !(logprob > top[most - 1]!.logprob)) continue;
    let at = top.length;
    while (at > 0 && top[at - 1]!.logprob < logprob) at--;
    top.splice(at, 0, { token: v, logprob });
    if (top.length > most) top.pop();
  }
  return { logprob: logits[offset + token]! - norm, top };
}
