// Prompts of requests as tokens: texts, lists of tokens, and several of either.
import type { Read, Reader } from "../program/reader.js";
import type { Tokenizer } from "../tokenizer/tokenizer.js";
import { anyText } from "./schema.js";

/** A text, or tokens. */
export type WirePrompt = string | readonly number[];

const MOST_PROMPTS = 2048;
const tokens = (r: Reader): readonly number[] => r.list((item) => item.integer(0, 0xffffffff));
const isTokens = ({ value }: Reader): boolean => Array.isArray(value) && typeof value[0] === "number";

/** A text, a list of tokens, or a list of such. */
export const promptsField: Read<readonly WirePrompt[]> = (r) => {
  if (typeof r.value === "string") return [anyText(r)];
  if (isTokens(r)) return [tokens(r)];
  if (!Array.isArray(r.value)) r.unlike("a text, a list of tokens, or a list of such");
  const prompts = r.list((item) => (typeof item.value === "string" ? anyText(item) : tokens(item)), MOST_PROMPTS);
  return prompts.length > 0 ? prompts : r.fail("is an empty list");
};

/** To a text the tokenizer adds what it puts around whole texts. Throws TokenizerError. */
export const tokensOf = (tokenizer: Tokenizer, prompt: WirePrompt): readonly number[] =>
  typeof prompt === "string" ? tokenizer.encode(prompt, { template: true }) : prompt;
