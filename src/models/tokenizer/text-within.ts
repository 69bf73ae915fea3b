// The text of a token as it is within a text, not at its beginning, where some decoders drop a space.
import type { Tokenizer } from "./tokenizer.js";

/**
 * A token whose text no decoder changes, as a prefix for decoding other tokens; null if the tokenizer has no such
 * token.
 */
export const plainToken = (tokenizer: Tokenizer): number | null =>
  ["a", ".", "0"].map((text) => tokenizer.idOf(text)).find((token) => token !== null) ?? null;

/** Reads the text of a token within a text; special tokens have none. Throws TokenizerError for an invalid token. */
export function textWithin(tokenizer: Tokenizer): (token: number) => string {
  const before = plainToken(tokenizer);
  if (before === null) return (token) => tokenizer.decode([token]);
  const base = tokenizer.decode([before]);
  return (token) => {
    const text = tokenizer.decode([before, token]);
    return text.startsWith(base) ? text.slice(base.length) : tokenizer.decode([token]);
  };
}
