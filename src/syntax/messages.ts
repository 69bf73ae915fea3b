// The parser's complaints in words: what was found, what was expected, and what usually mends it.
import * as t from "../../grammar/tokens.js";
import { diagnose, type Diagnostic } from "../diagnostics/diagnostic.js";
import type { Span } from "../diagnostics/span.js";
import type { Complaint } from "./complaint.js";
import { hintFor } from "./hints.js";

const RESERVED: ReadonlySet<t.TokenType> = new Set(t.reservedTokens);
/** Reserved words that never begin or join a value or a statement: where one stands, a name was meant. */
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

/** The diagnostic of a complaint. */
export function explain(complaint: Complaint, file: string, text: string): Diagnostic {
  const { rule, expected, previous, next } = complaint;
  const second = atSecond(complaint);
  const found = second ? complaint.next! : complaint.found;
  const before = second ? complaint.found : previous;
  const late =
    before !== undefined &&
    !startsItem(before) &&
    MISSED.has(found.tokenType) &&
    text.slice(before.startOffset, found.startOffset).includes("\n");
  const span = spanOf(late ? null : found, before, file, text);
  const words = late ? "the end of the line" : describe(found, text);
  const word = nameMeant(complaint);
  if (word) return diagnose("reserved-word", { word: word.image }, spanOf(word, undefined, file, text));
  if (DECLARATIONS.has(found.tokenType) && INSIDE.has(rule)) {
    const where = rule === "members" || rule === "member" ? "a block" : "a function";
    return diagnose("misplaced-declaration", { word: found.image, where }, span);
  }
  if (rule === "choice" && expected === t.Then) return diagnose("missing-then", { found: words }, span);
  if (rule === "choice" && expected === t.Else) return diagnose("missing-else", { found: words }, span);
  if (rule === "member" && isName(complaint.found) && next?.tokenType === t.Equal) {
    return diagnose(
      "member-needs-colon",
      { name: complaint.found.image },
      spanOf(complaint.found, previous, file, text),
    );
  }
  if (
    rule === "body" &&
    expected === t.RBrace &&
    found.tokenType === t.Colon &&
    previous &&
    isName(previous) &&
    startsItem(complaint.beforePrevious)
  ) {
    return diagnose("statement-needs-equals", { name: previous.image }, span);
  }
  return diagnose(
    "unexpected-token",
    { expected: expectation(complaint), found: words, hint: hintFor(complaint, found) },
    span,
  );
}

const DECLARATIONS: ReadonlySet<t.TokenType> = new Set([t.Import, t.Const, t.Block, t.Model]);

/** Rules of what stands in the braces of a block or a function. */
const INSIDE: ReadonlySet<string> = new Set(["members", "member", "body", "statement"]);

/** Where one of these begins the next line, what is missing belongs at the end of the line before. */
const MISSED: ReadonlySet<t.TokenType> = new Set([
  t.RParen,
  t.RBracket,
  t.RBrace,
  t.Identifier,
  t.Weight,
  t.NumberLiteral,
  t.StringLiteral,
  t.True,
  t.False,
  t.None,
]);

/** A member is told by its first two tokens: where the first could begin one, the second is at fault. */
const atSecond = ({ rule, found, next }: Complaint): boolean =>
  rule === "member" && next !== undefined && isName(found);

/** The reserved word that stands where a name was meant. */
function nameMeant({ rule, expected, found, next, previous }: Complaint): t.IToken | null {
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

const isName = (token: t.IToken): boolean => token.tokenType === t.Identifier || token.tokenType === t.Weight;
const startsItem = (before: t.IToken | undefined): boolean =>
  before?.tokenType === t.Newline || before?.tokenType === t.Semicolon;

/** How a token is spoken of. */
function describe(token: t.IToken, text: string): string {
  const type = token.tokenType;
  if (type === t.EOF) return "the end of the file";
  if (type === t.Newline) return "the end of the line";
  if (type === t.StringLiteral) return "a string";
  if (type === t.NumberLiteral) return `the number \`${shortened(token.image)}\``;
  if (token.image === "") return text.trim() === "" ? "nothing" : "the end of the line";
  return `\`${shortened(token.image)}\``;
}

const shortened = (image: string): string => (image.length > 40 ? `${image.slice(0, 40)}…` : image);

/** Where nothing stands (the end of a line, of the file) the place behind what came before. */
function spanOf(token: t.IToken | null, previous: t.IToken | undefined, file: string, text: string): Span {
  if (token && token.tokenType !== t.EOF && token.tokenType !== t.Newline && token.image !== "") {
    return { file, start: token.startOffset, end: token.startOffset + token.image.length };
  }
  const place = previous
    ? previous.startOffset + previous.image.length
    : Math.min(text.length, token?.startOffset || 0);
  return { file, start: place, end: place };
}

const MEMBER = "a member (`name: Block(…)`, `weight name: f32[…]`, a function, `if` or `names`)";
const STATEMENT = "a statement (`x = e`, `for`, `if`, `loss`, `observe`) or a value";

/** What each choice is between. */
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

/** Lists: after an item comes another one or the end. */
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

function expectation(complaint: Complaint): string {
  const { rule, expected, found, previous } = complaint;
  if (atSecond(complaint)) return "`:` or `(` after the member's name";
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
    return start !== null && found.tokenType === t.Newline ? start : "the end of the line";
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
