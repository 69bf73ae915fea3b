// Hints for syntax errors that users of other languages commonly make.
import * as t from "../../../grammar/tokens.js";
import type { ParserError } from "./parser-error.js";

/** Keywords of other languages that are plain names here. */
const FOREIGN_WORDS: ReadonlyMap<string, string> = new Map([
  ...["def", "fn", "func", "function", "fun"].map((w): [string, string] => [
    w,
    "functions have no keyword: `forward(x: f32[B, T, dim]) -> f32[B, T, dim] { … }`",
  ]),
  ...["class", "struct", "module", "type"].map((w): [string, string] => [
    w,
    "a block is declared by `block Name(dim: int) { … }`, what gets compiled by `model Name(…) { … }`",
  ]),
  ...["let", "var", "val", "mut"].map((w): [string, string] => [
    w,
    "a name is bound without a keyword: `x = e`; at the top of a file it is `const name = e`",
  ]),
  ["return", "there is no `return`: the last value of a function is its result"],
  ["elif", "write `else if`"],
  ["while", "there is no `while`: loops run over lists known when compiling, `for layer in layers { … }`"],
  ["lambda", "there are no functions as values: declare a function among the members"],
  ["pass", "an empty body is `{ }`"],
  ["param", "a learned tensor is declared by `weight name: f32[…]`"],
  ["parameter", "a learned tensor is declared by `weight name: f32[…]`"],
  ["async", "there is no `async`"],
  ["export", "every declaration of a file can be imported"],
  ["pub", "every declaration of a file can be imported"],
]);

/** A hint for a parser error, or null. `offender` is the token that the message points at. */
export function hintFor(error: ParserError, offender: t.IToken): string | null {
  const { rule, expected, found, previous, next } = error;
  const type = offender.tokenType;
  const word =
    (previous && t.isName(previous) ? FOREIGN_WORDS.get(previous.image) : undefined) ??
    (t.isName(found) ? FOREIGN_WORDS.get(found.image) : undefined);
  if (word !== undefined) return word;
  if (type === t.Colon && (expected === t.LBrace || rule === "ifStatement")) return "bodies stand in braces: `{ … }`";
  if (type === t.NumberLiteral && previous?.tokenType === t.NumberLiteral && previous.image.endsWith("%")) {
    return "`%` directly behind a number makes it a ratio; for the remainder put a blank before it: `7 % 2`";
  }
  if (type === t.If && rule !== "statement")
    return "a choice is written `if c then a else b`, in parentheses within a larger value";
  if (type === t.For && (rule === "list" || rule === "term" || rule === "suffix"))
    return "a comprehension is written `[for i in list: e]`";
  if (type === t.Equal && rule === "suffix" && previous && t.isName(previous)) {
    const value = next && BEGINS_VALUE.has(next.tokenType) ? next.image : "…";
    return `arguments are named with a colon: \`${previous.image}: ${value}\``;
  }
  if (type === t.Plus && rule === "term") return "there is no unary `+`";
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
      if (type === t.From) return 'names come before the file: `import { A, B } from "std"`';
      if (type === t.Names || type === t.Loss || type === t.Observe || type === t.For || type === t.If)
        return "it belongs inside a `block` or `model`";
      return t.isName(offender)
        ? "constants are `const name = e`; members and functions stand inside a `block` or `model`"
        : null;
    case "importDeclaration":
      return 'an import is written `import { A, B } from "std"`';
    case "blockDeclaration":
      if (expected === t.LParen) return "parameters stand in parentheses, `()` where there are none";
      return type === t.LBracket
        ? "a parameter's kind is int, float, ratio, bool, string, block or a list such as `[int]`; tensors are " +
            "inputs of functions"
        : null;
    case "parameter":
      return expected === t.Colon
        ? "a parameter is written `name: int = 4`; the kinds are int, float, ratio, bool, string, block and lists " +
            "such as `[int]`"
        : null;
    case "functionInput":
      return expected === t.Colon ? "an input is written `x: f32[B, T, dim]`" : null;
    case "members":
      return expected === t.LBrace ? "the members stand in `{ }`" : null;
    case "member":
      if (type === t.For)
        return "a list of sub-blocks is `layers: [for i in 0..n: Block(…)]`; statements stand inside a function";
      return type === t.Loss || type === t.Observe || error.found.tokenType === t.Update
        ? "statements stand inside a function"
        : null;
    case "weightMember":
      return previous?.tokenType === t.State
        ? "a state is declared by `state name: f32[…]`, with `= ones` or another start"
        : "a weight is declared by `weight name: f32[…]`, with `= normal(0.02)` or another start";
    case "tensorType":
      if (expected !== t.LBracket) return null;
      return previous && DTYPES.has(previous.image)
        ? "a scalar is `f32[]`"
        : "inputs, results and weights are tensors, such as `f32[B, T, dim]`; a scalar is `f32[]`";
    case "forStatement":
      return expected === t.In || expected === t.Identifier ? "a loop is written `for x in list { … }`" : null;
    case "body":
      if (expected === t.LBrace && (type === t.Identifier || type === t.LParen))
        return "the result's type follows `->`: `forward(x: f32[B, T]) -> f32[B, T] { … }`";
      if (previous?.tokenType === t.Weight || previous?.tokenType === t.State)
        return `${previous.image}s are declared among the members, outside of functions`;
      if (previous?.tokenType === t.Update) return "a state is updated by `update name = e`";
      return previous && t.isName(previous) && BEGINS_VALUE.has(type)
        ? "one statement a line; calls need parentheses"
        : null;
    case "observeStatement":
      return "`observe` takes the name of a value: bind it first";
    case "updateStatement":
      return "a state is updated by `update name = e`";
    case "lossStatement":
      return "a loss has a name: `loss next_token = cross_entropy(…)`";
    case "namesEntry":
    case "namesMember":
      return 'an entry is written `"path" = "key"`, with `or "key"` for another, or `ignore "key"`';
    case "index":
    case "suffix":
      return type === t.Colon ? "slices have no step: `x[a:b]`" : null;
    default:
      return null;
  }
}
