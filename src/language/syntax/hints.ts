// Hints for syntax errors that users of other languages commonly make.
import * as t from "../../../grammar/tokens.js";
import type { IParserErrorMessageProvider } from "chevrotain";
import { invariant } from "../../ground/base/invariant.js";
import { MAX_ERRORS } from "./limits.js";

/** Keywords of other languages that are plain names here. */
const FOREIGN_WORDS: ReadonlyMap<string, string> = new Map([
  ...["def", "fn", "func", "function", "fun"].map((w): [string, string] => [
    w,
    "functions have no keyword: `forward(x: f32[B, T, dim]) -> f32[B, T, dim] { … }`",
  ]),
  ...["class", "struct", "module", "type"].map((w): [string, string] => [
    w,
    "declare a block by `block Name(dim: int) { … }`, the model to compile by `model Name(…) { … }`",
  ]),
  ...["let", "var", "val", "mut"].map((w): [string, string] => [
    w,
    "write `x = e`, without a keyword; at the top of a file, `const name = e`",
  ]),
  ["return", "leave out `return`: the last value of a function is its result"],
  ["elif", "write `else if`"],
  ["while", "loop over a list known when compiling: `for layer in layers { … }`; there is no `while`"],
  ["lambda", "declare a function among the members: functions are not values"],
  ["pass", "write `{ }` for an empty body"],
  ["param", "declare a learned tensor by `weight name: f32[…]`"],
  ["parameter", "declare a learned tensor by `weight name: f32[…]`"],
  ["async", "leave out `async`"],
  ["export", "leave it out: every declaration of a file can be imported"],
  ["pub", "leave it out: every declaration of a file can be imported"],
]);

/** A hint for a parser error, or null. `offender` is the token that the message points at. */
export function hintFor(error: ParserError, offender: t.IToken): string | null {
  const { rule, expected, found, previous, next } = error;
  const type = offender.tokenType;
  const word =
    (previous && t.isName(previous) ? FOREIGN_WORDS.get(previous.image) : undefined) ??
    (t.isName(found) ? FOREIGN_WORDS.get(found.image) : undefined);
  if (word !== undefined) return word;
  if (type === t.Colon && (expected === t.LBrace || rule === "ifStatement")) return "put the body in braces: `{ … }`";
  if (type === t.NumberLiteral && previous?.tokenType === t.NumberLiteral && previous.image.endsWith("%")) {
    return "put a blank before `%` for the remainder: `7 % 2`; directly after a number `%` makes a ratio";
  }
  if (type === t.If && rule !== "statement") return "write `if c then a else b`, in parentheses inside a larger value";
  if (type === t.For && (rule === "list" || rule === "term" || rule === "suffix"))
    return "write a comprehension as `[for i in list: e]`";
  if (type === t.Equal && rule === "suffix" && previous && t.isName(previous)) {
    const value = next && BEGINS_VALUE.has(next.tokenType) ? next.image : "…";
    return `arguments are named with a colon: \`${previous.image}: ${value}\``;
  }
  if (type === t.Plus && rule === "term") return "leave out the `+`: there is no unary `+`";
  if ((expected === t.RParen || expected === t.RBracket) && BEGINS_VALUE.has(type))
    return "put a comma between them, or an operator";
  return hintOfRule(error, offender);
}

const DTYPES: ReadonlySet<string> = new Set(t.DTYPES);
const BEGINS_VALUE: ReadonlySet<t.TokenType> = new Set([
  t.Identifier,
  ...t.headingTokens,
  t.NumberLiteral,
  t.StringLiteral,
  t.True,
  t.False,
  t.None,
]);

function hintOfRule(error: ParserError, offender: t.IToken): string | null {
  const { rule, expected, previous } = error;
  const type = offender.tokenType;
  switch (rule) {
    case "file":
    case "declaration":
      if (type === t.From) return 'write the names before the file: `import { A, B } from "std"`';
      if (type === t.Names || type === t.Loss || type === t.Observe || type === t.For || type === t.If)
        return "move it inside a `block` or `model`";
      return t.isName(offender)
        ? "write `const name = e` for a constant; members and functions belong inside a `block` or `model`"
        : null;
    case "importDeclaration":
      return 'write `import { A, B } from "std"`';
    case "blockDeclaration":
      if (expected === t.LParen) return "put parameters in parentheses, `()` if there are none";
      return type === t.LBracket
        ? "a parameter's kind is int, float, ratio, bool, string, block or a list such as `[int]`; tensors are " +
            "inputs of functions"
        : null;
    case "parameter":
      return expected === t.Colon
        ? "write a parameter as `name: int = 4`; the kinds are int, float, ratio, bool, string, block and lists " +
            "such as `[int]`"
        : null;
    case "functionInput":
      return expected === t.Colon ? "write an input as `x: f32[B, T, dim]`" : null;
    case "members":
      return expected === t.LBrace ? "put the members in `{ }`" : null;
    case "member":
      if (type === t.For)
        return "write a list of sub-blocks as `layers: [for i in 0..n: Block(…)]`; statements belong inside a function";
      return type === t.Loss || type === t.Observe || error.found.tokenType === t.Update
        ? "move the statement into a function"
        : null;
    case "weightMember":
      return previous?.tokenType === t.State
        ? "declare a state by `state name: f32[…]`, with `= ones` or another initial value"
        : "declare a weight by `weight name: f32[…]`, with `= normal(0.02)` or another initial value";
    case "tensorType":
      if (expected !== t.LBracket) return null;
      return previous && DTYPES.has(previous.image)
        ? "write `f32[]` for a scalar"
        : "inputs, results and weights are tensors, such as `f32[B, T, dim]`; a scalar is `f32[]`";
    case "forStatement":
      return expected === t.In || expected === t.Identifier ? "write a loop as `for x in list { … }`" : null;
    case "body":
      if (expected === t.LBrace && (type === t.Identifier || type === t.LParen))
        return "the result's type follows `->`: `forward(x: f32[B, T]) -> f32[B, T] { … }`";
      if (previous?.tokenType === t.Weight || previous?.tokenType === t.State)
        return `${previous.image}s are declared among the members, outside functions`;
      if (previous?.tokenType === t.Update) return "update a state by `update name = e`";
      return previous && t.isName(previous) && BEGINS_VALUE.has(type)
        ? "write one statement on a line; calls need parentheses"
        : null;
    case "observeStatement":
      return "bind the value to a name first: `observe` takes a name";
    case "updateStatement":
      return "update a state by `update name = e`";
    case "lossStatement":
      return "name the loss: `loss next_token = cross_entropy(…)`";
    case "namesEntry":
    case "namesMember":
      return 'write an entry as `"path" = "key"`, with `or "key"` for another key, or as `ignore "key"`';
    default:
      return null;
  }
}

/** The data that chevrotain provides with an error. */
interface RawError {
  readonly rule: string;
  /** The one expected token; null if several alternatives were possible. */
  readonly expected: t.TokenType | null;
  readonly found: t.IToken;
}

/** A parser error with the tokens around it. */
export interface ParserError extends RawError {
  readonly next: t.IToken | undefined;
  readonly previous: t.IToken | undefined;
  readonly beforePrevious: t.IToken | undefined;
}

/** Thrown through the parser once a file exceeds MAX_ERRORS. */
export class TooManyErrors extends Error {}

/** Collects parser errors; returns empty messages to chevrotain. */
export class ParserErrors implements IParserErrorMessageProvider {
  #list: RawError[] = [];

  /** The errors since the last call, each with the tokens around it. */
  take(tokens: readonly t.IToken[]): readonly ParserError[] {
    const list = this.#list;
    this.#list = [];
    if (list.length === 0) return [];
    const indices = new Map(tokens.map((token, i) => [token, i]));
    return list.map((raw) => {
      const at = indices.get(raw.found) ?? tokens.length;
      return { ...raw, next: tokens[at + 1], previous: tokens[at - 1], beforePrevious: tokens[at - 2] };
    });
  }

  #add(rule: string, expected: t.TokenType | null, found: t.IToken | undefined): string {
    invariant(found, "the parser complains of no token");
    this.#list.push({ rule, expected, found });
    if (this.#list.length >= MAX_ERRORS) throw new TooManyErrors();
    return "";
  }
  buildMismatchTokenMessage(o: { expected: t.TokenType; actual: t.IToken; ruleName: string }): string {
    return this.#add(o.ruleName, o.expected, o.actual);
  }
  buildNotAllInputParsedMessage(o: { firstRedundant: t.IToken; ruleName: string }): string {
    return this.#add(o.ruleName, t.EOF, o.firstRedundant);
  }
  buildNoViableAltMessage(o: { actual: t.IToken[]; ruleName: string }): string {
    return this.#add(o.ruleName, null, o.actual[0]);
  }
  buildEarlyExitMessage(o: { actual: t.IToken[]; ruleName: string }): string {
    return this.#add(o.ruleName, null, o.actual[0]);
  }
}
