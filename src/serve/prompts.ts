// Prompts of requests as tokens: texts, lists of tokens, and several of either.
import type { Read, Reader } from "../program/reader.js";
import { invalid } from "./errors.js";
import type { Served } from "./options.js";
import { anyText } from "./schema.js";

/** A text, or tokens. */
export type WirePrompt = string | readonly number[];

const tokens = (r: Reader): readonly number[] => r.list((item) => item.integer(0, 0xffffffff));
const isTokens = ({ value }: Reader): boolean => Array.isArray(value) && typeof value[0] === "number";

/** What a server takes at once is fewer, and told later: to read millions one by one everybody would wait for. */
const MOST_PROMPTS = 1 << 16;

/** A text, a list of tokens, or a list of such. */
export const promptsField: Read<readonly WirePrompt[]> = (r) => {
  if (typeof r.value === "string") return [anyText(r)];
  if (isTokens(r)) return [tokens(r)];
  if (!Array.isArray(r.value)) r.unlike("a text, a list of tokens, or a list of such");
  const prompts = r.list((item) => (typeof item.value === "string" ? anyText(item) : tokens(item)), MOST_PROMPTS);
  return prompts.length > 0 ? prompts : r.fail("is an empty list");
};

/** How many times the characters that the context's tokens could have a text may have, for tokenizers that drop some. */
const SLACK = 4;

/**
 * To a text the tokenizer adds what it puts around whole texts. Throws TokenizerError, and RequestError for a text that
 * could not fit into the context, before it is encoded: that takes long, and everybody waits.
 */
export function tokensOf(served: Served, prompt: WirePrompt, name: string, template = true): readonly number[] {
  if (typeof prompt !== "string") return prompt;
  const { tokenizer, context } = served;
  if (context !== null && prompt.length > SLACK * context * tokenizer.longest + tokenizer.longest)
    throw invalid(
      `the model reads at most ${context} tokens, and ${name} has ${prompt.length} characters`,
      name,
      "context_length_exceeded",
    );
  return tokenizer.encode(prompt, { template });
}
