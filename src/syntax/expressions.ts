// Expressions: chains of operators, flat in the concrete tree, are grouped by precedence; nothing here recurses over a chain.
import type * as cst from "../../grammar/cst.js";
import { PRECEDENCE, UNARY_PRECEDENCE, type IToken } from "../../grammar/tokens.js";
import type { Span } from "../diagnostics/span.js";
import type { Arg, BinaryOp, Expr, Index } from "./ast.js";
import type { Builder } from "./builder.js";
import { numberLiteral, stringLiteral } from "./literals.js";

export function expression(b: Builder, node: cst.ExpressionCstNode | undefined): Expr {
  const { If, expression: conditions, choice: rest, range: ranges } = b.need(node).children;
  if (If) return choice(b, If[0]!, expression(b, conditions?.[0]), b.need(rest?.[0]));
  return range(b, ranges?.[0]);
}

/** `if c then a else if d then e else f`: nested to the right. */
export function choice(b: Builder, head: IToken, condition: Expr, node: cst.ChoiceCstNode): Expr {
  const ifs = [head, ...(node.children.If ?? [])];
  const values = (node.children.expression ?? []).map((e) => expression(b, e));
  // Conditions and values alternate after the first value; the last value is the final else.
  if (values.length !== 2 * ifs.length) b.need(null);
  let result = b.need(values.at(-1));
  for (let i = ifs.length - 1; i >= 0; i--) {
    const test = i === 0 ? condition : values[2 * i - 1]!;
    const then = values[2 * i]!;
    const span = b.span(ifs[i]!.startOffset, result.span.end);
    result = b.expr({ kind: "if", condition: test, then, else: result, span }, test, then, result);
  }
  return result;
}

export function range(b: Builder, node: cst.RangeCstNode | undefined): Expr {
  const { logic: sides, DotDot } = b.need(node).children;
  const from = logic(b, sides?.[0]);
  if (!DotDot) return from;
  const to = logic(b, sides?.[1]);
  return b.expr({ kind: "range", from, to, span: b.span(from.span.start, to.span.end) }, from, to);
}

interface Operator {
  readonly text: BinaryOp;
  readonly span: Span;
}

function operatorOf(b: Builder, token: IToken): Operator {
  // Marked boundary: the parser lets only tokens of the operators' categories through; a foreign one keeps its own image.
  const text = token.image in PRECEDENCE ? token.image : token.tokenType.LABEL?.replaceAll("`", "");
  return { text: b.need(text) as BinaryOp, span: b.tokenSpan(token) };
}

function logic(b: Builder, node: cst.LogicCstNode | undefined): Expr {
  const { test: tests, LogicOperator: operators } = b.need(node).children;
  const first = b.need(tests)[0];
  if (!operators) return negated(b, b.need(first));
  const ops = operators.map((o) => operatorOf(b, o));
  if (b.need(tests).length !== ops.length + 1) b.need(null);
  const nots = b.need(tests).map((t) => t.children.Not ?? []);
  const operands = b.need(tests).map((t) => arithmetic(b, t.children.arithmetic?.[0]));
  reportChains(b, ops, nots);
  return climb(b, operands, ops, nots.map((n) => n.map((t) => b.tokenSpan(t))));
}

/** `a < b < c`, and `a == not b`, mean nothing. */
function reportChains(b: Builder, ops: readonly Operator[], nots: readonly (readonly IToken[])[]): void {
  let comparison: Operator | null = null;
  for (const [i, op] of ops.entries()) {
    const isComparison = PRECEDENCE[op.text] === PRECEDENCE["=="];
    if (isComparison && comparison) b.report("chained-comparison", { first: comparison.text, second: op.text }, op.span);
    const not = nots[i + 1]![0];
    if (isComparison && not) b.report("misplaced-not", { operator: op.text }, b.tokenSpan(not));
    comparison = isComparison ? op : null;
  }
}

function negated(b: Builder, node: cst.TestCstNode): Expr {
  let result = arithmetic(b, node.children.arithmetic?.[0]);
  for (const not of [...(node.children.Not ?? [])].reverse()) result = unary(b, "not", b.tokenSpan(not), result);
  return result;
}

function unary(b: Builder, op: "-" | "not", opSpan: Span, operand: Expr): Expr {
  return b.expr({ kind: "unary", op, operand, span: b.span(opSpan.start, operand.span.end) }, operand);
}

/** A sum of products of powers; also a dimension or its bound. */
export function arithmetic(b: Builder, node: cst.ArithmeticCstNode | undefined): Expr {
  const { operand: operands, ArithmeticOperator: operators } = b.need(node).children;
  const nodes = b.need(operands);
  const ops = (operators ?? []).map((o) => operatorOf(b, o));
  if (nodes.length !== ops.length + 1) b.need(null);
  const values = nodes.map((n) => suffixed(b, n));
  return climb(b, values, ops, nodes.map((n) => (n.children.Minus ?? []).map((t) => b.tokenSpan(t))), "-");
}

interface Pending {
  readonly kind: "unary" | "binary";
  readonly op: BinaryOp | "not";
  readonly span: Span;
  readonly precedence: number;
}

/** Shunting-yard: operands and operators by precedence; `prefixes[i]` stand before operand i. */
function climb(b: Builder, operands: readonly Expr[], ops: readonly Operator[], prefixes: readonly (readonly Span[])[], prefix: "-" | "not" = "not"): Expr {
  const values: Expr[] = [];
  const pending: Pending[] = [];
  const apply = (): void => {
    const p = pending.pop()!;
    const right = values.pop()!;
    if (p.kind === "unary") {
      values.push(unary(b, prefix, p.span, right));
      return;
    }
    const left = values.pop()!;
    // A pending binary operator is never `not`.
    const op = p.op as BinaryOp;
    values.push(b.expr({ kind: "binary", op, opSpan: p.span, left, right, span: b.span(left.span.start, right.span.end) }, left, right));
  };
  for (const [i, operand] of operands.entries()) {
    for (const span of prefixes[i]!) pending.push({ kind: "unary", op: prefix, span, precedence: UNARY_PRECEDENCE[prefix] });
    values.push(operand);
    const op = ops[i];
    if (!op) continue;
    const precedence = PRECEDENCE[op.text];
    // `^` waits for what stands on its right.
    const binds = (p: Pending): boolean => p.precedence > precedence || (p.precedence === precedence && op.text !== "^");
    while (pending.length > 0 && binds(pending.at(-1)!)) apply();
    pending.push({ kind: "binary", op: op.text, span: op.span, precedence });
  }
  while (pending.length > 0) apply();
  return b.need(values[0]);
}

function suffixed(b: Builder, node: cst.OperandCstNode): Expr {
  let result = atom(b, node.children.atom?.[0]);
  for (const suffix of node.children.suffix ?? []) {
    const { children } = suffix;
    const { start } = result.span;
    const { end } = b.nodeSpan(suffix);
    const span = b.span(start, end);
    if (children.Dot) {
      result = b.expr({ kind: "member", object: result, name: b.name(children.Identifier?.[0]), span }, result);
    } else if (children.LParen) {
      const args = (children.argument ?? []).map((a) => argument(b, a));
      result = b.expr({ kind: "call", callee: result, args, span }, result, ...args.map((a) => a.value));
    } else {
      const indices = b.need(children.index).map((i) => index(b, i));
      const parts = indices.flatMap((i) => (i.kind === "at" ? [i.value] : i.kind === "slice" ? [i.start, i.stop].filter((e) => e !== null) : []));
      result = b.expr({ kind: "index", object: result, indices, span }, result, ...parts);
    }
  }
  return result;
}

function argument(b: Builder, node: cst.ArgumentCstNode): Arg {
  const { Identifier, expression: values } = node.children;
  const value = expression(b, values?.[0]);
  const name = Identifier ? b.name(Identifier[0]) : null;
  return { name, value, span: b.span(name?.span.start ?? value.span.start, value.span.end) };
}

function index(b: Builder, node: cst.IndexCstNode): Index {
  const { Ellipsis, Colon, expression: values } = node.children;
  const span = b.nodeSpan(node);
  if (Ellipsis) return { kind: "rest", span };
  const parts = (values ?? []).map((v) => expression(b, v));
  if (!Colon) {
    const value = b.need(parts[0]);
    return value.kind === "none" ? { kind: "new-axis", span } : { kind: "at", value, span };
  }
  const before = parts.find((p) => p.span.end <= Colon[0]!.startOffset) ?? null;
  const after = parts.find((p) => p.span.start > Colon[0]!.startOffset) ?? null;
  return { kind: "slice", start: before, stop: after, span };
}

function atom(b: Builder, node: cst.AtomCstNode | undefined): Expr {
  const { children } = b.need(node);
  if (children.Identifier) {
    const { text, span } = b.name(children.Identifier[0]);
    return b.expr({ kind: "name", name: text, span });
  }
  if (children.NumberLiteral) return numberLiteral(b, children.NumberLiteral[0]!);
  if (children.StringLiteral) return b.expr({ kind: "string", ...stringLiteral(b, children.StringLiteral[0]!) });
  if (children.True) return b.expr({ kind: "bool", value: true, span: b.tokenSpan(children.True[0]!) });
  if (children.False) return b.expr({ kind: "bool", value: false, span: b.tokenSpan(children.False[0]!) });
  if (children.None) return b.expr({ kind: "none", span: b.tokenSpan(children.None[0]!) });
  if (children.parentheses) {
    const inner = children.parentheses[0]!;
    const span = b.nodeSpan(inner);
    const values = b.need(inner.children.expression).map((e) => expression(b, e));
    if (values.length > 1) {
      b.report("several-values", {}, span);
      b.need(null);
    }
    return b.widened(b.need(values[0]), span);
  }
  return list(b, b.need(children.list?.[0]));
}

function list(b: Builder, node: cst.ListCstNode): Expr {
  const { For, Identifier, expression: values } = node.children;
  const span = b.nodeSpan(node);
  const parts = (values ?? []).map((v) => expression(b, v));
  if (!For) return b.expr({ kind: "list", items: parts, span }, ...parts);
  const [source, body] = [b.need(parts[0]), b.need(parts[1])];
  return b.expr({ kind: "comprehension", name: b.name(Identifier?.[0]), list: source, body, span }, source, body);
}
