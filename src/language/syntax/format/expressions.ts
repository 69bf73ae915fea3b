// Formats expressions and bracketed lists.
import type { CstNode } from "chevrotain";
import type * as cst from "../../../../grammar/cst.js";
import * as t from "../../../../grammar/tokens.js";
import { firstToken, type Tokens } from "./comments.js";
import { align, fill, group, hardline, ifBroken, indent, line, softline, type Doc } from "./doc.js";

/**
 * Whether an expression is inside brackets: then lines may break anywhere. Outside, they break only after operators,
 * `then` and `else`.
 */
export type Place = "inside" | "outside";

export function expression(k: Tokens, node: cst.ExpressionCstNode, place: Place): Doc {
  const { If, expression: conditions, choice: rest, chain: sides, DotDot } = node.children;
  return If ? choice(k, If[0]!, conditions![0]!, rest![0]!, place) : range(k, sides!, DotDot);
}

export function range(k: Tokens, sides: readonly cst.ChainCstNode[], dots: readonly t.IToken[] | undefined): Doc {
  return dots ? [chain(k, sides[0]!), k.print(dots[0]!), chain(k, sides[1]!)] : chain(k, sides[0]!);
}

/** Inside brackets each branch is on its own line, aligned with the `if`; outside, lines end with `else`. */
export function choice(
  k: Tokens,
  head: t.IToken,
  condition: cst.ExpressionCstNode,
  node: cst.ChoiceCstNode,
  place: Place,
): Doc {
  const { Then, Else, If = [], expression: values } = node.children;
  const branch = (i: number, test: cst.ExpressionCstNode): Doc => [
    " ",
    expression(k, test, place),
    " ",
    k.print(Then[i]!),
    " ",
    expression(k, values[2 * i]!, place),
  ];
  const docs: Doc[] = [k.print(head), branch(0, condition)];
  const rest: Doc[] = [];
  for (const [i, token] of Else.entries()) {
    const next = If[i];
    const last = next ? [k.print(next), branch(i + 1, values[2 * i + 1]!)] : expression(k, values.at(-1)!, place);
    rest.push(place === "inside" ? [line, k.print(token), " ", last] : [" ", k.print(token), line, last]);
  }
  return group(place === "inside" ? align(0, [docs, rest]) : [docs, indent(rest)], k.within(node));
}

export function chain(k: Tokens, node: cst.ChainCstNode | cst.SizeCstNode): Doc {
  const { children } = node;
  const prefixes = [...(children.PrefixOperator ?? [])];
  const operators =
    ("BinaryOperator" in children
      ? children.BinaryOperator
      : "ArithmeticOperator" in children
        ? children.ArithmeticOperator
        : undefined) ?? [];
  let next = 0;
  const operand = (i: number): Doc => {
    const end = operators[i]?.startOffset ?? Number.POSITIVE_INFINITY;
    const docs: Doc[] = [];
    for (; next < prefixes.length && prefixes[next]!.startOffset < end; next++) {
      const prefix = prefixes[next]!;
      docs.push(k.print(prefix), prefix.tokenType === t.Not ? " " : "");
    }
    return [docs, term(k, children.term[i]!)];
  };
  const first = operand(0);
  if (operators.length === 0) return first;
  return group(
    [first, indent(operators.map((op, i): Doc => [" ", k.print(op), line, operand(i + 1)]))],
    k.within(node),
  );
}

function term(k: Tokens, node: cst.TermCstNode): Doc {
  return [atom(k, node), (node.children.suffix ?? []).map((s) => suffix(k, s))];
}

function atom(k: Tokens, node: cst.TermCstNode): Doc {
  const { children } = node;
  if (children.list) return list(k, children.list[0]!);
  if (children.LParen) {
    const items = children.expression!.map((e) => ({ node: e, doc: expression(k, e, "inside") }));
    if (items.length > 1) return bracketed(k, children.LParen[0]!, items, children.Comma, children.RParen![0]!);
    const close = children.RParen![0]!;
    return group(
      [k.print(children.LParen[0]!), indent([softline, items[0]!.doc, k.ending(close)]), softline, k.bare(close)],
      k.between(children.LParen[0]!.startOffset, close.startOffset),
    );
  }
  const word =
    children.Identifier ??
    children.NumberLiteral ??
    children.StringLiteral ??
    children.True ??
    children.False ??
    children.None;
  return k.print(word![0]!);
}

function suffix(k: Tokens, node: cst.SuffixCstNode): Doc {
  const { Dot, Identifier, LParen, RParen, LBracket, RBracket, argument: args, index: indices, Comma } = node.children;
  if (Dot) return [k.print(Dot[0]!), k.print(Identifier![0]!)];
  if (LParen)
    return bracketed(
      k,
      LParen[0]!,
      (args ?? []).map((a) => ({ node: a, doc: argument(k, a) })),
      Comma,
      RParen![0]!,
    );
  const items = indices!.map((i) => ({ node: i, doc: index(k, i) }));
  return k.within(node)
    ? bracketed(k, LBracket![0]!, items, Comma, RBracket![0]!)
    : unbroken(k, LBracket![0]!, items, Comma, RBracket![0]!);
}

function argument(k: Tokens, node: cst.ArgumentCstNode): Doc {
  const { Identifier, Colon, expression: values } = node.children;
  const value = expression(k, values[0]!, "inside");
  return Identifier ? [k.print(Identifier[0]!), k.print(Colon![0]!), " ", value] : value;
}

function index(k: Tokens, node: cst.IndexCstNode): Doc {
  const { Ellipsis, sliceEnd, expression: values = [] } = node.children;
  if (Ellipsis) return k.print(Ellipsis[0]!);
  return [values.map((v) => expression(k, v, "inside")), (sliceEnd ?? []).map((end) => afterStart(k, end))];
}

/** The end of a slice, and its step. */
function afterStart(k: Tokens, node: cst.SliceEndCstNode): Doc {
  const { Colon, expression: values = [] } = node.children;
  const [first, second] = Colon;
  const isStop = (v: cst.ExpressionCstNode): boolean => !second || firstToken(v).startOffset < second.startOffset;
  const docs = (part: readonly cst.ExpressionCstNode[]): Doc[] => part.map((v) => expression(k, v, "inside"));
  const stop = docs(values.filter(isStop));
  return [k.print(first!), stop, ...(second ? [k.print(second), docs(values.filter((v) => !isStop(v)))] : [])];
}

/** A comprehension breaks after its `:`, indented by three columns from the bracket. */
function list(k: Tokens, node: cst.ListCstNode): Doc {
  const { LBracket, RBracket, For, Identifier, In, Colon, Comma, expression: values = [] } = node.children;
  const docs = values.map((v) => expression(k, v, "inside"));
  if (!For)
    return bracketed(
      k,
      LBracket[0]!,
      values.map((v, i) => ({ node: v, doc: docs[i]! })),
      Comma,
      RBracket[0]!,
    );
  const head = [
    k.print(LBracket[0]!),
    k.print(For[0]!),
    " ",
    k.print(Identifier![0]!),
    " ",
    k.print(In![0]!),
    " ",
    docs[0]!,
    k.print(Colon![0]!),
  ];
  const close = RBracket[0]!;
  return group(
    [align(3, [head, line, docs[1]!, k.ending(close)]), k.hasAbove(close) ? hardline : "", k.bare(close)],
    k.within(node),
  );
}

export interface Item {
  readonly node: CstNode;
  readonly doc: Doc;
}

/**
 * Prints a bracketed list on one line if it fits; else fills lines with items, broken where the author broke them, with
 * a trailing comma.
 */
export function bracketed(
  k: Tokens,
  open: t.IToken,
  items: readonly Item[],
  commas: readonly t.IToken[] = [],
  close: t.IToken,
  edge: Doc = softline,
): Doc {
  const commented = k.between(open.startOffset, close.startOffset);
  if (items.length === 0)
    return group([k.print(open), indent(k.ending(close)), k.hasAbove(close) ? hardline : "", k.bare(close)]);
  const parts = items.map(({ node, doc }, i) => {
    const comma = commas[i];
    return { doc: comma ? [doc, k.print(comma)] : doc, forced: i > 0 && k.beginsLine(firstToken(node)) };
  });
  return group(
    [
      k.print(open),
      indent([edge, fill(parts), ifBroken({ kind: "tack", text: "," }, ""), k.ending(close)]),
      edge,
      k.bare(close),
    ],
    commented,
  );
}

/** Indices and dimensions, which are never broken. */
export function unbroken(
  k: Tokens,
  open: t.IToken,
  items: readonly Item[],
  commas: readonly t.IToken[] = [],
  close: t.IToken,
): Doc {
  return [
    k.print(open),
    items.map(({ doc }, i): Doc => (i === 0 ? doc : [k.print(commas[i - 1]!), " ", doc])),
    k.print(close),
  ];
}

export function tensorType(k: Tokens, node: cst.TensorTypeCstNode): Doc {
  const { Identifier, LBracket, RBracket, Comma, dimension: dims = [] } = node.children;
  const items = dims.map((d): Item => {
    const { Ellipsis, If, LessEqual, expression: conditions, choice: rest, size: sides } = d.children;
    if (Ellipsis) return { node: d, doc: k.print(Ellipsis[0]!) };
    if (If) return { node: d, doc: choice(k, If[0]!, conditions![0]!, rest![0]!, "inside") };
    const value = chain(k, sides![0]!);
    return { node: d, doc: LessEqual ? [value, " ", k.print(LessEqual[0]!), " ", chain(k, sides![1]!)] : value };
  });
  const write = k.within(node) ? bracketed : unbroken;
  return [k.print(Identifier[0]!), write(k, LBracket[0]!, items, Comma, RBracket[0]!)];
}

/** A key of a checkpoint with its indices. */
export function storedKey(k: Tokens, { children }: cst.StoredKeyCstNode): Doc {
  const { StringLiteral, LBracket, RBracket, Comma, storedIndex: indices = [], Caret, Identifier } = children;
  const items = indices.map((i) => {
    const { Placeholder, index: other } = i.children;
    return { node: i, doc: Placeholder ? k.print(Placeholder[0]!) : index(k, other![0]!) };
  });
  return [
    k.print(StringLiteral[0]!),
    LBracket ? bracketed(k, LBracket[0]!, items, Comma, RBracket![0]!) : "",
    Caret ? [k.print(Caret[0]!), k.print(Identifier![0]!)] : "",
  ];
}
