// Kinds of tokens, by their text.

export const KINDS = ["word", "continued word", "number", "space", "punctuation", "other"] as const;
export type Kind = (typeof KINDS)[number];

/**
 * The kind of a token by its text: a word that begins (with a space before it, or a capital), a piece of one, digits,
 * white space alone, punctuation and symbols, and all else, such as special tokens and parts of characters.
 */
export function kindOf(text: string): Kind {
  const bare = text.trim();
  if (bare === "") return text === "" ? "other" : "space";
  if (/^\p{N}+$/u.test(bare)) return "number";
  if (/^[\p{L}\p{M}'’]+$/u.test(bare)) return /^\s|^\p{Lu}/u.test(text) ? "word" : "continued word";
  return /^[\p{P}\p{S}]+$/u.test(bare) ? "punctuation" : "other";
}
