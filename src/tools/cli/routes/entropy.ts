// How uncertain a model is of what follows a token, by how many routes compute the token.
import type { ShownRoute } from "../run/routes.js";

export interface EntropyAtDepth {
  /** How many routes compute these tokens. */
  readonly depth: number;
  readonly tokens: number;
  /** The mean entropy of what the model says follows them, in bits; null where there are none. */
  readonly bits: number | null;
}

/** Sums over batches. */
export class EntropyByDepth {
  readonly #tokens: number[] = [];
  readonly #bits: number[] = [];
  #routes = 0;

  /** `logits`: [rows, length, vocabulary]; routes as they chose in the same run. */
  add(logits: ArrayLike<number>, rows: number, length: number, routes: readonly ShownRoute[]): void {
    const known = routes.filter(({ absolute }) => absolute);
    this.#routes = known.length;
    const vocabulary = logits.length / (rows * length);
    for (let b = 0; b < rows; b++) {
      const depths = new Uint32Array(length);
      for (const { chosen } of known) for (const t of chosen[b] ?? []) depths[t]!++;
      for (const [t, depth] of depths.entries()) {
        const bits = entropyOf(logits, (b * length + t) * vocabulary, vocabulary);
        this.#tokens[depth] = (this.#tokens[depth] ?? 0) + 1;
        this.#bits[depth] = (this.#bits[depth] ?? 0) + bits;
      }
    }
  }

  /** From none to all routes; empty where no logits were seen. */
  found(): readonly EntropyAtDepth[] {
    if (this.#tokens.length === 0) return [];
    return Array.from({ length: this.#routes + 1 }, (_, depth) => {
      const tokens = this.#tokens[depth] ?? 0;
      return { depth, tokens, bits: tokens === 0 ? null : this.#bits[depth]! / tokens };
    });
  }
}

/** Of softmax(logits), in bits: log Σ exp(x − m) − Σ p·(x − m), m the largest. */
function entropyOf(logits: ArrayLike<number>, from: number, count: number): number {
  let most = -Infinity;
  for (let i = from; i < from + count; i++) most = Math.max(most, logits[i]!);
  let [sum, weighted] = [0, 0];
  for (let i = from; i < from + count; i++) {
    const x = logits[i]! - most;
    const e = Math.exp(x);
    sum += e;
    // A logit of −∞ has no share.
    if (e > 0) weighted += e * x;
  }
  return (Math.log(sum) - weighted / sum) / Math.LN2;
}
