// Something that generates, in the process of a peer.
import type { GenerateData, Skipped } from "./protocol.js";

export interface Generated {
  /** Milliseconds for a token after the first. */
  readonly milliseconds: number;
  /** Milliseconds until the first. */
  readonly first: number;
  readonly tokens: Uint32Array;
  /** The share of tokens that took the route, by route. */
  readonly shares: readonly number[];
}

export interface Writer {
  /** `drawn`: alike every time, else the likeliest tokens. */
  generate(drawn: boolean): Promise<Generated>;
  /**
   * The cost of the model's routed layers if every token skips them, by comparison with a model without routed layers.
   */
  skipped?(without: Writer): Promise<Skipped>;
  dispose(): Promise<void>;
}

export type MakeWriter = (data: GenerateData) => Promise<Writer>;

/** Times a loop that gives one token after another. */
export async function timed(
  count: number,
  next: (index: number) => Promise<number>,
): Promise<Omit<Generated, "shares">> {
  const tokens = new Uint32Array(count);
  const begin = performance.now();
  let first = begin;
  for (let i = 0; i < count; i++) {
    tokens[i] = await next(i);
    if (i === 0) first = performance.now();
  }
  return { milliseconds: (performance.now() - first) / Math.max(1, count - 1), first: first - begin, tokens };
}
