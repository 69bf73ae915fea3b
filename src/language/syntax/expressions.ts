// Builds expressions. Operator chains, flat in the concrete tree, are grouped by precedence, without recursion over a
// chain.
import type * as cst from "../../../grammar/cst.js";
import { PRECEDENCE, UNARY_PRECEDENCE, type IToken } from "../../../grammar/tokens.js";
import type { Span } from "../diagnostics/span.js";
import type { Arg, BinaryOp, Expr, Index } from "./ast.js";
import type { Builder } from "./builder.js";
import { numberLiteral, stringLiteral } from "./literals.js";

export function expression(b: Builder, node: cst.ExpressionCstNode | undefined): Expr {
  const { If, expression: conditions, choice: rest, chain: sides } = b.need(node).children;
  return If ? choice(b, If[0]!, expression(b, conditions?.[0]), b.need(rest?.[0])) : valueOrRange(b, sides);
}

/** `a`, or `a..b`. */
export function valueOrRange(b: Builder, sides: readonly cst.ChainCstNode[] | undefined): Expr {
  const from = chain(b, sides?.[0]);
  if (sides?.[1] === undefined) return from;
  const to = chain(b, sides[1]);
  return b.expr({ kind: "range", from, to, span: b.span(from.span.start, to.span.end) }, [from, to]);
}

/** `if c then a else if d then e else f`: nested to the right. */
export function choice(b: Builder, head: IToken, condition: Expr, node: cst.ChoiceCstNode): Expr {
  const ifs = [head, ...(node.children.If ?? [])];
  const values = (node.children.expression ?? []).map((e) => expression(b, e));
  // After the first value, conditions and values alternate; the last value belongs to the final else.
  if (values.length !== 2 * ifs.length) b.need(null);
  let result = b.need(values.at(-1));
  for (let i = ifs.length - 1; i >= 0; i--) {
    const test = i === 0 ? condition : values[2 * i - 1]!;
    const then = values[2 * i]!;
    const span = b.span(ifs[i]!.startOffset, result.span.end);
    result = b.expr({ kind: "if", condition: test, then, else: result, span }, [test, then, result]);
  }
  return result;
}

interface Operator {
  readonly text: BinaryOp | "not";
  readonly span: Span;
}

function operatorOf(b: Builder, token: IToken): Operator {
  // Cast: only tokens of the operator categories occur here; a token that replaces another language's operator has that
  // operator's image.
  const text = b.need(token.tokenType.LABEL?.replaceAll("`", "")) as BinaryOp | "not";
  return { text, span: b.tokenSpan(token) };
}

/** Builds the expression of an operator chain, also in a dimension or its bound. */
export function chain(b: Builder, node: cst.ChainCstNode | cst.SizeCstNode | undefined): Expr {
  const { children } = b.need(node);
  const terms = b.need(children.term);
  const binary =
    ("BinaryOperator" in children
      ? children.BinaryOperator
      : "ArithmeticOperator" in children
        ? children.ArithmeticOperator
        : undefined) ?? [];
  if (terms.length !== binary.length + 1) b.need(null);
  const prefixes = children.PrefixOperator ?? [];
  if (binary.length + prefixes.length === 0) return term(b, terms[0]!);
  const before: Operator[][] = [];
  let next = 0;
  for (let i = 0; i < terms.length; i++) {
    // Prefix operators before binary operator i belong to term i.
    const end = binary[i]?.startOffset ?? Number.POSITIVE_INFINITY;
    const operators: Operator[] = [];
    for (; next < prefixes.length && prefixes[next]!.startOffset < end; next++)
      operators.push(operatorOf(b, prefixes[next]!));
    before.push(operators);
  }
  const ops = binary.map((o) => operatorOf(b, o));
  reportMisuse(b, ops, before);
  return climb(
    b,
    terms.map((t) => term(b, t)),
    ops,
    before,
  );
}

/** Reports `a < b < c`, and `not` at a place where no boolean operand can begin. */
function reportMisuse(b: Builder, ops: readonly Operator[], before: readonly (readonly Operator[])[]): void {
  let comparison: Operator | null = null;
  for (let i = 0; i < before.length; i++) {
    const op = ops[i - 1];
    let outer = op;
    for (const prefix of before[i]!) {
      if (prefix.text === "not" && outer && outer.text !== "and" && outer.text !== "or" && outer.text !== "not") {
        b.report("misplaced-not", { operator: outer.text }, prefix.span);
      }
      outer = prefix;
    }
    if (!op) continue;
    const precedence = precedenceOf(op);
    if (precedence === PRECEDENCE["=="]) {
      if (comparison) b.report("chained-comparison", { first: comparison.text, second: op.text }, op.span);
      comparison = op;
    } else if (precedence < PRECEDENCE["=="]) {
      comparison = null;
    }
  }
}

const precedenceOf = ({ text }: Operator): number => (text === "not" ? UNARY_PRECEDENCE.not : PRECEDENCE[text]);

interface Pending extends Operator {
  readonly prefix: boolean;
  readonly precedence: number;
}

/** Shunting-yard: `before[i]` are the prefix operators of operand i. */
function climb(
  b: Builder,
  operands: readonly Expr[],
  ops: readonly Operator[],
  before: readonly (readonly Operator[])[],
): Expr {
  const values: Expr[] = [];
  const pending: Pending[] = [];
  const apply = (): void => {
    const { prefix, text, span } = pending.pop()!;
    const right = values.pop()!;
    if (prefix) {
      values.push(
        b.expr(
          { kind: "unary", op: text === "not" ? "not" : "-", operand: right, span: b.span(span.start, right.span.end) },
          [right],
        ),
      );
    } else if (text !== "not") {
      const left = values.pop()!;
      values.push(
        b.expr({ kind: "binary", op: text, opSpan: span, left, right, span: b.span(left.span.start, right.span.end) }, [
          left,
          right,
        ]),
      );
    }
  };
  for (let i = 0; i < operands.length; i++) {
    for (const p of before[i]!)
      pending.push({ ...p, prefix: true, precedence: p.text === "not" ? UNARY_PRECEDENCE.not : UNARY_PRECEDENCE["-"] });
    values.push(operands[i]!);
    const op = ops[i];
    if (!op) continue;
    const precedence = precedenceOf(op);
    // `^` is right-associative.
    const binds = (p: Pending): boolean =>
      p.precedence > precedence || (p.precedence === precedence && op.text !== "^");
    while (pending.length > 0 && binds(pending.at(-1)!)) apply();
    pending.push({ ...op, prefix: false, precedence });
  }
  while (pending.length > 0) apply();
  return b.need(values[0]);
}

function term(b: Builder, node: cst.TermCstNode): Expr {
  let result = atom(b, node);
  for (const suffix of node.children.suffix ?? []) {
    const { children } = suffix;
    const span = b.span(result.span.start, b.nodeSpan(suffix).end);
    if (children.Dot) {
      result = b.expr({ kind: "member", object: result, name: b.name(children.Identifier?.[0]), span }, [result]);
    } else if (children.LParen) {
      const args = (children.argument ?? []).map((a) => argument(b, a));
      result = b.expr({ kind: "call", callee: result, args, span }, [result, ...args.map((a) => a.value)]);
    } else {
      const indices = b.need(children.index).map((i) => index(b, i));
      result = b.expr({ kind: "index", object: result, indices, span }, [result, ...indices.flatMap(partsOf)]);
    }
  }
  return result;
}

const partsOf = (i: Index): readonly Expr[] =>
  i.kind === "at" ? [i.value] : i.kind === "slice" ? [i.start, i.stop, i.step].filter((e) => e !== null) : [];

function argument(b: Builder, node: cst.ArgumentCstNode): Arg {
  const { Identifier, expression: values } = node.children;
  const value = expression(b, values?.[0]);
  const name = Identifier ? b.name(Identifier[0]) : null;
  return { name, value, span: b.span(name?.span.start ?? value.span.start, value.span.end) };
}

export function index(b: Builder, node: cst.IndexCstNode): Index {
  const { Ellipsis, sliceEnd, expression: values } = node.children;
  const span = b.nodeSpan(node);
  if (Ellipsis) return { kind: "rest", span };
  const first = values?.[0] ? expression(b, values[0]) : null;
  if (!sliceEnd) {
    const value = b.need(first ?? undefined);
    return value.kind === "none" ? { kind: "new-axis", span } : { kind: "at", value, span };
  }
  const { Colon, expression: ends = [] } = sliceEnd[0]!.children;
  const parts = ends.map((v) => expression(b, v));
  const second = Colon[1]?.startOffset ?? Infinity;
  const stop = parts.find((p) => p.span.end <= second) ?? null;
  const step = parts.find((p) => p.span.start > second) ?? null;
  return { kind: "slice", start: first, stop, step, span };
}

function atom(b: Builder, node: cst.TermCstNode): Expr {
  const { children } = node;
  if (children.Identifier) {
    const { text, span } = b.name(children.Identifier[0]);
    return b.expr({ kind: "name", name: text, span });
  }
  if (children.NumberLiteral) return numberLiteral(b, children.NumberLiteral[0]!);
  if (children.StringLiteral) return b.expr({ kind: "string", ...stringLiteral(b, children.StringLiteral[0]!) });
  if (children.True) return b.expr({ kind: "bool", value: true, span: b.tokenSpan(children.True[0]!) });
  if (children.False) return b.expr({ kind: "bool", value: false, span: b.tokenSpan(children.False[0]!) });
  if (children.None) return b.expr({ kind: "none", span: b.tokenSpan(children.None[0]!) });
  if (!children.LParen) return list(b, b.need(children.list?.[0]));
  const [open, close] = [b.need(children.LParen[0]), b.need(children.RParen?.[0])];
  const span = b.span(open.startOffset, close.startOffset + close.image.length);
  const values = b.need(children.expression).map((e) => expression(b, e));
  // `(logits, hidden)`: parentheses with several values are a list, as in Python.
  if (values.length > 1) return b.expr({ kind: "list", items: values, span }, values);
  return b.parenthesized(b.need(values[0]), span);
}

function list(b: Builder, node: cst.ListCstNode): Expr {
  const { For, Identifier, expression: values } = node.children;
  const span = b.nodeSpan(node);
  const parts = (values ?? []).map((v) => expression(b, v));
  if (!For) return b.expr({ kind: "list", items: parts, span }, parts);
  const [source, body] = [b.need(parts[0]), b.need(parts[1])];
  return b.expr({ kind: "comprehension", name: b.name(Identifier?.[0]), list: source, body, span }, [source, body]);
}
