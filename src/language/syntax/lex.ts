// Lexer: text → tokens and comments. Notations of other languages are reported and replaced by their equivalents.
import { Lexer } from "chevrotain";
import * as t from "../../../grammar/tokens.js";
import type { Diagnostics } from "../diagnostics/diagnostic.js";
import { invariant } from "../../ground/base/invariant.js";
import type { SourceFile } from "../diagnostics/span.js";
import { MAX_NAME_LENGTH, MAX_SOURCE_LENGTH, MAX_TOKENS } from "./limits.js";

/** A comment: its text with the slashes, up to the end of its line. */
export interface Comment {
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

export interface Lexed {
  /** Tokens including newlines (never two in a row) and semicolons; `endOffset` is set. */
  readonly tokens: readonly t.IToken[];
  /** In source order. */
  readonly comments: readonly Comment[];
}

let lexer: Lexer | null = null;

/** Splits a source into tokens and comments; null if the file is too large or is not text. */
export function lex(source: SourceFile, diagnostics: Diagnostics): Lexed | null {
  const { file, text } = source;
  if (text.length > MAX_SOURCE_LENGTH) {
    diagnostics.report(
      "source-too-large",
      { what: "characters", count: text.length, limit: MAX_SOURCE_LENGTH },
      { file, start: 0, end: 0 },
    );
    return null;
  }
  if (!isText(source, diagnostics)) return null;
  lexer ??= new Lexer(t.lexerTokens, {
    positionTracking: "onlyOffset",
    ensureOptimizations: true,
    skipValidations: true,
  });
  const { tokens, groups, errors } = lexer.tokenize(text.startsWith("\ufeff") ? " " + text.slice(1) : text);
  invariant(errors.length === 0, "the lexer met a character that no token matches");
  for (const token of tokens) token.endOffset = token.startOffset + token.image.length - 1;
  const cleaned = mended(tokens, source, diagnostics);
  if (cleaned.length > MAX_TOKENS) {
    diagnostics.report(
      "source-too-large",
      { what: "words and signs", count: cleaned.length, limit: MAX_TOKENS },
      { file, start: 0, end: 0 },
    );
    return null;
  }
  return { tokens: cleaned, comments: readComments(groups[t.COMMENTS] ?? [], source, diagnostics) };
}

function isText({ file, text }: SourceFile, diagnostics: Diagnostics): boolean {
  const match = /[\u0000\ufffd]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/.exec(text);
  if (!match) return true;
  const what =
    match[0] === "\u0000"
      ? "a NUL character"
      : match[0] === "\ufffd"
        ? "bytes that are not UTF-8"
        : "half of a surrogate pair";
  diagnostics.report("not-text", { what }, { file, start: match.index, end: match.index + 1 });
  return false;
}

const REPLACED = new Map(t.foreignOperators.map((f) => [f.token, f]));

/** Drops unknown characters, replaces operators of other languages, and merges successive newlines. */
function mended(tokens: readonly t.IToken[], { file }: SourceFile, diagnostics: Diagnostics): t.IToken[] {
  const cleaned: t.IToken[] = [];
  for (const token of tokens) {
    const span = { file, start: token.startOffset, end: token.startOffset + token.image.length };
    const foreign = REPLACED.get(token.tokenType);
    if (token.tokenType === t.Newline) {
      if (cleaned.at(-1)?.tokenType !== t.Newline) cleaned.push(token);
    } else if (token.tokenType === t.Unknown) {
      diagnostics.report("unknown-character", describeCharacter(token.image), span);
    } else if (foreign) {
      diagnostics.report("foreign-operator", { found: token.image, advice: foreign.advice }, span);
      cleaned.push(retyped(token, foreign.instead));
    } else if (token.tokenType === t.SingleQuoted) {
      const ended = token.image.length > 1 && token.image.endsWith("'");
      if (ended) diagnostics.report("single-quotes", {}, span);
      else diagnostics.report("unterminated-string", { quote: "'" }, span);
      cleaned.push(retyped(token, t.StringLiteral));
    } else {
      if (token.tokenType === t.Identifier && token.image.length > MAX_NAME_LENGTH)
        diagnostics.report("name-too-long", { length: token.image.length, limit: MAX_NAME_LENGTH }, span);
      cleaned.push(token);
    }
  }
  return cleaned;
}

const retyped = (token: t.IToken, type: t.TokenType): t.IToken => ({
  ...token,
  tokenType: type,
  // Cast: chevrotain adds `tokenTypeIdx` to each type when the lexer is created.
  tokenTypeIdx: (type as t.TokenType & { readonly tokenTypeIdx: number }).tokenTypeIdx,
});

const LOOKALIKES: ReadonlyMap<string, string> = new Map([
  ["\u00a0", "write an ordinary space: this is a no-break space"],
  ["\u2013", "write `-`"],
  ["\u2014", "write `-`"],
  ["\u2212", "write `-`"],
  ["\u00d7", "write `*`"],
  ["\u00b7", "write `*`"],
  ["\u00f7", "write `/`"],
  ["\u201c", 'write `"`'],
  ["\u201d", 'write `"`'],
  ["\u2018", 'write `"`'],
  ["\u2019", 'write `"`'],
  ["\u2264", "write `<=`"],
  ["\u2265", "write `>=`"],
  ["\u2260", "write `!=`"],
  ["\u2192", "write `->`"],
  ["\u2026", "write `...`"],
  ["\\", "break the line after an operator or a comma, or inside brackets"],
  ["\r", "write `\\n` or `\\r\\n` at the end of a line"],
  ["?", "write `if c then a else b` to choose a value"],
  ["`", 'put strings in `"`'],
]);

function describeCharacter(character: string): { shown: string; hint: string | null } {
  const point = `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}`;
  const visible = /^[\p{L}\p{N}\p{P}\p{S}]$/u.test(character);
  const hint =
    LOOKALIKES.get(character) ?? (/^\p{L}$/u.test(character) ? "use ASCII letters, digits and `_` in names" : null);
  return { shown: visible ? `${character === "`" ? "'`'" : `\`${character}\``} (${point})` : point, hint };
}

function readComments(tokens: readonly t.IToken[], { file }: SourceFile, diagnostics: Diagnostics): Comment[] {
  return tokens.map((token) => {
    const end = token.startOffset + token.image.length;
    if (token.tokenType !== t.Comment) {
      const opening = token.tokenType === t.HashComment ? "#" : "/*";
      diagnostics.report(
        "foreign-comment",
        { found: opening },
        { file, start: token.startOffset, end: token.startOffset + opening.length },
      );
    }
    return { text: token.image.trimEnd(), start: token.startOffset, end };
  });
}
