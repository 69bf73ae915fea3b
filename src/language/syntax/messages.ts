// Diagnostics of parser errors: the found and the expected token, and a hint.
import * as t from "../../../grammar/tokens.js";
import { diagnose, type Diagnostic } from "../diagnostics/diagnostic.js";
import type { Span } from "../diagnostics/span.js";
import { hintFor, type ParserError } from "./hints.js";

const RESERVED: ReadonlySet<t.TokenType> = new Set(t.reservedTokens);
/** Reserved words that cannot occur in a value or a statement. At such a place the author meant a name. */
const NEVER_IN_VALUES: ReadonlySet<t.TokenType> = new Set([
  t.Import,
  t.From,
  t.Const,
  t.Block,
  t.Model,
  t.Live,
  t.Names,
  t.Ignore,
  t.In,
  t.Loss,
  t.Observe,
]);

/** A parsed text. `more`: whether further declarations follow it. */
interface ParsedText {
  readonly file: string;
  readonly text: string;
  readonly more: boolean;
}

export function parserDiagnostic(error: ParserError, { file, text, more }: ParsedText): Diagnostic {
  const { rule, expected, previous, next } = error;
  const second = isAtSecondToken(error);
  const found = second ? error.next! : error.found;
  const previousToken = second ? error.found : previous;
  const atLineEnd =
    previousToken !== undefined &&
    !isSeparator(previousToken) &&
    LINE_STARTERS.has(found.tokenType) &&
    text.slice(previousToken.startOffset, found.startOffset).includes("\n");
  const span = spanOf(atLineEnd ? null : found, previousToken, file, text);
  const foundText = atLineEnd ? "the end of the line" : describe(found, text, more);
  const word = reservedWordAsName(error);
  if (word) return diagnose("reserved-word", { word: word.image }, spanOf(word, undefined, file, text));
  if (DECLARATION_WORDS.has(found.tokenType) && BODY_RULES.has(rule)) {
    const where = rule === "members" || rule === "member" ? "a block" : "a function";
    return diagnose("misplaced-declaration", { word: found.image, where }, span);
  }
  if (rule === "choice" && expected === t.Then) return diagnose("missing-then", { found: foundText }, span);
  if (rule === "choice" && expected === t.Else) return diagnose("missing-else", { found: foundText }, span);
  if (rule === "member" && t.isName(error.found) && next?.tokenType === t.Equal) {
    return diagnose("member-needs-colon", { name: error.found.image }, spanOf(error.found, previous, file, text));
  }
  if (
    rule === "body" &&
    expected === t.RBrace &&
    found.tokenType === t.Colon &&
    previous &&
    t.isName(previous) &&
    isSeparator(error.beforePrevious)
  ) {
    return diagnose("statement-needs-equals", { name: previous.image }, span);
  }
  return diagnose(
    "unexpected-token",
    { expected: expectation(error), found: foundText, hint: hintFor(error, found) },
    span,
  );
}

const DECLARATION_WORDS: ReadonlySet<t.TokenType> = new Set([t.Import, t.Const, t.Block, t.Model]);

/** Grammar rules inside the braces of a block or a function. */
const BODY_RULES: ReadonlySet<string> = new Set(["members", "member", "body", "statement"]);

/** If a token of these types begins the next line, the missing token is reported at the end of the previous line. */
const LINE_STARTERS: ReadonlySet<t.TokenType> = new Set([
  t.RParen,
  t.RBracket,
  t.RBrace,
  t.Identifier,
  ...t.headingTokens,
  t.NumberLiteral,
  t.StringLiteral,
  t.True,
  t.False,
  t.None,
]);

/** The parser distinguishes members by their first two tokens: if the first is a name, the second is the faulty one. */
const isAtSecondToken = ({ rule, found, next }: ParserError): boolean =>
  rule === "member" && next !== undefined && t.isName(found);

/** The reserved word that the author used as a name; null if there is none. */
function reservedWordAsName({ rule, expected, found, next, previous }: ParserError): t.IToken | null {
  const type = found.tokenType;
  if (
    type === t.Colon &&
    previous &&
    ((rule === "namesMember" && expected === t.LBrace) || (rule === "parameter" && previous.tokenType === t.Live))
  ) {
    return previous;
  }
  if (!RESERVED.has(type)) return null;
  const meant =
    expected === t.Identifier
      ? type !== t.Then && type !== t.Else
      : rule === "member" || expected === t.RParen
        ? next?.tokenType === t.Colon
        : rule === "statement"
          ? next?.tokenType === t.Equal
          : (rule === "term" || rule === "expression") && NEVER_IN_VALUES.has(type);
  return meant ? found : null;
}

const isSeparator = (before: t.IToken | undefined): boolean =>
  before?.tokenType === t.Newline || before?.tokenType === t.Semicolon;

/** The name of a token in messages. */
function describe(token: t.IToken, text: string, more: boolean): string {
  const type = token.tokenType;
  if (type === t.EOF) return more ? "the end of the line" : "the end of the file";
  if (type === t.Newline) return "the end of the line";
  if (type === t.StringLiteral) return "a string";
  if (type === t.NumberLiteral) return `the number \`${shortened(token.image)}\``;
  if (token.image === "") return text.trim() === "" ? "nothing" : "the end of the line";
  return `\`${shortened(token.image)}\``;
}

const shortened = (image: string): string => (image.length > 40 ? `${image.slice(0, 40)}…` : image);

/** The span of a token; for the end of a line or of the file, the empty span after the previous token. */
function spanOf(token: t.IToken | null, previous: t.IToken | undefined, file: string, text: string): Span {
  if (token && token.tokenType !== t.EOF && token.tokenType !== t.Newline && token.image !== "") {
    return { file, start: token.startOffset, end: token.startOffset + token.image.length };
  }
  const offset = previous
    ? previous.startOffset + previous.image.length
    : Math.min(text.length, token?.startOffset || 0);
  return { file, start: offset, end: offset };
}

const MEMBER = "a member (`name: Block(…)`, `weight name: f32[…]`, a function, `if` or `names`)";
const STATEMENT = "a statement (`x = e`, `for`, `if`, `loss`, `observe`) or a value";

/** The expected alternatives in each grammar rule. */
const CHOICES: ReadonlyMap<string, string> = new Map([
  ["declaration", "a declaration (`import`, `const`, `block` or `model`)"],
  ["blockDeclaration", "`block` or `model`"],
  ["parameterKind", "a kind (`int`, `float`, `ratio`, `bool`, `string`, `block`, or a list such as `[int]`)"],
  ["member", MEMBER],
  ["namesEntry", 'an entry (`"path" = "key"` or `ignore "key"`)'],
  ["results", "a type such as `f32[B, T, dim]`"],
  ["dimension", "a dimension"],
  ["statement", STATEMENT],
  ["ifStatement", "`{` or `then` after the condition"],
  ["expression", "a value"],
  ["term", "a value"],
  ["list", "a value, `for` or `]`"],
  ["suffix", "an index"],
  ["index", "an index"],
]);

/** Grammar rules with lists: after an item follows another item or the end. */
const LISTS: ReadonlySet<string> = new Set([
  "blockDeclaration",
  "functionMember",
  "results",
  "tensorType",
  "term",
  "list",
  "suffix",
  "importDeclaration",
]);

function expectation(error: ParserError): string {
  const { rule, expected, found, previous } = error;
  if (isAtSecondToken(error)) return "`:` or `(` after the member's name";
  if (expected === null) return CHOICES.get(rule) ?? "something else";
  if (expected === t.EOF) return "the end of the line after the declaration";
  if (expected === t.RBrace && rule !== "importDeclaration") {
    const start =
      rule === "members"
        ? MEMBER
        : rule === "body"
          ? STATEMENT
          : rule === "namesMember"
            ? CHOICES.get("namesEntry")!
            : null;
    return start !== null && (found.tokenType === t.Newline || found.tokenType === t.EOF)
      ? start
      : "the end of the line";
  }
  if (expected === t.RParen || expected === t.RBracket || expected === t.RBrace) {
    if (LISTS.has(rule) && (previous?.tokenType === t.LParen || previous?.tokenType === t.LBracket))
      return `an item or ${expected.LABEL}`;
    return LISTS.has(rule) ? `\`,\` or ${expected.LABEL}` : String(expected.LABEL);
  }
  if (rule === "parameter" && expected === t.Colon) return "`:` and a kind";
  if (rule === "functionInput" && expected === t.Colon) return "`:` and a type";
  if (rule === "tensorType")
    return expected === t.Identifier ? "a type such as `f32[B, T, dim]`" : "`[` and the dimensions";
  return expected.LABEL ?? expected.name;
}
