// The parser's complaints in words: what was found, what was expected, and what usually mends it.
import type { IParserErrorMessageProvider } from "chevrotain";
import * as t from "../../grammar/tokens.js";
import { diagnose, type Diagnostic } from "../diagnostics/diagnostic.js";
import type { Span } from "../diagnostics/span.js";
import { hintFor } from "./hints.js";
import { MAX_ERRORS } from "./limits.js";

/** One complaint as the parser knows it. */
export interface Complaint {
  readonly rule: string;
  /** The token it insisted on; null where it had a choice. */
  readonly expected: t.TokenType | null;
  readonly found: t.IToken;
  /** The token after `found`, where the parser looked at it. */
  readonly second: t.IToken | null;
  readonly previous: t.IToken;
}

/** Thrown through the parser once a file has more errors than anyone reads. */
export class TooManyErrors extends Error {}

/** Collects complaints; the texts that chevrotain would keep are empty. */
export class Complaints implements IParserErrorMessageProvider {
  #list: Complaint[] = [];

  take(): readonly Complaint[] {
    const list = this.#list;
    this.#list = [];
    return list;
  }
  #add(complaint: Complaint): string {
    this.#list.push(complaint);
    if (this.#list.length >= MAX_ERRORS) throw new TooManyErrors();
    return "";
  }
  buildMismatchTokenMessage(o: { expected: t.TokenType; actual: t.IToken; previous: t.IToken; ruleName: string }): string {
    return this.#add({ rule: o.ruleName, expected: o.expected, found: o.actual, second: null, previous: o.previous });
  }
  buildNotAllInputParsedMessage(o: { firstRedundant: t.IToken; ruleName: string }): string {
    return this.#add({ rule: o.ruleName, expected: t.EOF, found: o.firstRedundant, second: null, previous: o.firstRedundant });
  }
  buildNoViableAltMessage(o: { actual: t.IToken[]; previous: t.IToken; ruleName: string }): string {
    return this.#add({ rule: o.ruleName, expected: null, found: o.actual[0]!, second: o.actual[1] ?? null, previous: o.previous });
  }
  buildEarlyExitMessage(o: { actual: t.IToken[]; previous: t.IToken; ruleName: string }): string {
    return this.#add({ rule: o.ruleName, expected: null, found: o.actual[0]!, second: o.actual[1] ?? null, previous: o.previous });
  }
}

const RESERVED: ReadonlySet<t.TokenType> = new Set(t.reservedTokens);

/** The diagnostic of a complaint. */
export function explain(complaint: Complaint, file: string, text: string): Diagnostic {
  const { rule, expected, previous } = complaint;
  const found = offender(complaint);
  const span = spanOf(found, previous, file, text);
  const words = describe(found, text);
  const wantsName = expected === t.Identifier || (rule === "member" && complaint.second?.tokenType === t.Colon);
  if (wantsName && RESERVED.has(complaint.found.tokenType) && !endsHere(complaint)) {
    return diagnose("reserved-word", { word: complaint.found.image }, spanOf(complaint.found, previous, file, text));
  }
  if (rule === "choice" && expected === t.Then) return diagnose("missing-then", { found: words }, span);
  if (rule === "choice" && expected === t.Else) return diagnose("missing-else", { found: words }, span);
  if (rule === "member" && isName(complaint.found) && complaint.second?.tokenType === t.Equal) {
    return diagnose("member-needs-colon", { name: complaint.found.image }, spanOf(complaint.found, previous, file, text));
  }
  if (inBody(rule) && found.tokenType === t.Colon && isName(previous)) {
    return diagnose("statement-needs-equals", { name: previous.image }, span);
  }
  return diagnose("unexpected-token", { expected: expectation(complaint), found: words, hint: hintFor(complaint, found) }, span);
}

/** With a choice by two tokens, the second is at fault where the first could begin an alternative. */
function offender({ rule, found, second }: Complaint): t.IToken {
  return rule === "member" && second && isName(found) ? second : found;
}

/** `loss` or `observe` at the start of a statement is not an attempt at a name; neither is a keyword of the construct itself. */
const endsHere = ({ rule, found }: Complaint): boolean =>
  (rule === "atom" && found.tokenType === t.If) || found.tokenType === t.Then || found.tokenType === t.Else;

const isName = (token: t.IToken): boolean => token.tokenType === t.Identifier || token.tokenType === t.Weight;
const inBody = (rule: string): boolean => rule === "body" || rule === "statement" || rule === "bindingOrValue";

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
function spanOf(token: t.IToken, previous: t.IToken, file: string, text: string): Span {
  const type = token.tokenType;
  if (type !== t.EOF && type !== t.Newline && token.image !== "") return { file, start: token.startOffset, end: token.startOffset + token.image.length };
  const end = previous.startOffset + previous.image.length;
  const start = Number.isNaN(end) ? (Number.isNaN(token.startOffset) ? text.length : token.startOffset) : end;
  return { file, start, end: start };
}

const MEMBER = "a member (`name: Block(…)`, `weight name: f32[…]`, a function, `if` or `names`)";
const STATEMENT = "a statement (`x = e`, `for`, `if`, `loss`, `observe`) or a value";

/** What each choice is between. */
const CHOICES: ReadonlyMap<string, string> = new Map([
  ["declaration", "a declaration (`import`, `const`, `block` or `model`)"],
  ["blockDeclaration", "`block` or `model`"],
  ["parameterKind", "a kind (`int`, `float`, `ratio`, `bool`, `string`, `block`, or a list such as `[int]`)"],
  ["member", MEMBER],
  ["namesEntry", "an entry (`\"path\" = \"key\"` or `ignore \"key\"`)"],
  ["results", "a type such as `f32[B, T, dim]`"],
  ["dimension", "a dimension"],
  ["statement", STATEMENT],
  ["ifStatement", "`{` or `then` after the condition"],
  ["expression", "a value"],
  ["atom", "a value"],
  ["parentheses", "a value"],
  ["list", "a value, `for` or `]`"],
  ["suffix", "an index"],
  ["index", "an index"],
]);

/** Lists: after an item comes another one or the end. */
const LISTS: ReadonlySet<string> = new Set(["blockDeclaration", "functionMember", "results", "tensorType", "parentheses", "list", "suffix", "importDeclaration"]);

function expectation({ rule, expected, found, second }: Complaint): string {
  if (rule === "member" && second && isName(found)) return "`:` or `(` after the member's name";
  if (expected === null) return CHOICES.get(rule) ?? "something else";
  if (expected === t.EOF) return "the end of the line after the declaration";
  if (expected === t.RBrace && rule !== "importDeclaration") {
    const start = rule === "members" ? MEMBER : rule === "body" ? STATEMENT : rule === "namesMember" ? CHOICES.get("namesEntry")! : null;
    return start !== null && found.tokenType === t.Newline ? start : "the end of the line";
  }
  if (expected === t.RParen || expected === t.RBracket || expected === t.RBrace) {
    return LISTS.has(rule) ? `\`,\` or ${expected.LABEL}` : String(expected.LABEL);
  }
  if (rule === "parameter" && expected === t.Colon) return "`:` and a kind";
  if (rule === "functionInput" && expected === t.Colon) return "`:` and a type";
  if (rule === "tensorType") return expected === t.Identifier ? "a type such as `f32[B, T, dim]`" : "`[` and the dimensions";
  return expected.LABEL ?? expected.name;
}
