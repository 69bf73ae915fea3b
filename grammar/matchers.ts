// Matchers of tokens that a regular expression cannot describe.
import type { CustomPatternMatcherFunc } from "chevrotain";

/**
 * Matches from a quote to the next one on the line, or to the end of the line; `literals.ts` reports a missing quote.
 */
export const quoted =
  (quote: string): CustomPatternMatcherFunc =>
  (text, offset) => {
    if (text[offset] !== quote) return null;
    let end = offset + 1;
    for (; end < text.length; end++) {
      const c = text[end];
      if (c === "\n" || c === "\r") break;
      if (c === "\\" && text[end + 1] !== "\n" && text[end + 1] !== "\r") end++;
      else if (c === quote) return [text.slice(offset, end + 1)];
    }
    return [text.slice(offset, Math.min(end, text.length))];
  };

/** Tokens before an index of a stored tensor. */
const BEFORE_INDEX: ReadonlySet<string> = new Set(["LBracket", "Comma"]);
const SEGMENT = /\{[A-Za-z_][A-Za-z0-9_]*\}/y;

/**
 * Matches `{e}` as an index of a stored tensor in an entry of `names`. Only there can a brace follow `[` or a comma,
 * with or without newlines between.
 */
export const segment: CustomPatternMatcherFunc = (text, offset, before) => {
  const last = before.findLast(({ tokenType }) => tokenType.name !== "Newline");
  if (!last || !BEFORE_INDEX.has(last.tokenType.name)) return null;
  SEGMENT.lastIndex = offset;
  const found = SEGMENT.exec(text);
  return found && [found[0]];
};

/** Matches a comment of other languages, or the rest of the text if the comment has no end. */
export const blockComment: CustomPatternMatcherFunc = (text, offset) => {
  if (text[offset] !== "/" || text[offset + 1] !== "*") return null;
  const end = text.indexOf("*/", offset + 2);
  return [text.slice(offset, end === -1 ? text.length : end + 2)];
};

/** Matches any character: one that the language does not use. */
export const anyCharacter: CustomPatternMatcherFunc = (text, offset) => [
  String.fromCodePoint(text.codePointAt(offset) ?? 0),
];
