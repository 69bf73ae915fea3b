// The count of tokens in a reply.
import type { Choice } from "./choice.js";

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
}

/** A prompt counts once, however many choices go on from it. */
export function usageOf(choices: readonly Choice[]): Usage {
  const first = new Map<readonly number[], number>();
  // Of several choices of a prompt, what the first one found in the cache was there before the request.
  for (const choice of choices.toReversed()) first.set(choice.plan.prompt, choice.use.cachedTokens);
  const prompt = [...first.keys()].reduce((n, tokens) => n + tokens.length, 0);
  const completion = choices.reduce((n, { use }) => n + use.generatedTokens, 0);
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: [...first.values()].reduce((n, cached) => n + cached, 0) },
  };
}
