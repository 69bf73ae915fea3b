// Statements of a function's body.
import type * as cst from "../../grammar/cst.js";
import type { Expr, Name, Stmt } from "./ast.js";
import { Incomplete, type Builder } from "./builder.js";
import { choice, expression, range } from "./expressions.js";
import { MAX_NESTING } from "./limits.js";

export function body(b: Builder, node: cst.BodyCstNode | undefined): readonly Stmt[] {
  return b.each(b.need(node).children.statement, (s) => statement(b, s));
}

function statement(b: Builder, node: cst.StatementCstNode): Stmt {
  const { forStatement, ifStatement, lossStatement, observeStatement, bindingOrValue } = node.children;
  if (forStatement) return loop(b, forStatement[0]!);
  if (ifStatement) return conditional(b, ifStatement[0]!);
  if (lossStatement) {
    const { Identifier, expression: values } = lossStatement[0]!.children;
    return { kind: "loss", name: b.name(Identifier?.[0]), value: expression(b, values?.[0]), span: b.nodeSpan(node) };
  }
  if (observeStatement) {
    return { kind: "observe", name: b.name(observeStatement[0]!.children.Identifier?.[0]), span: b.nodeSpan(node) };
  }
  return binding(b, b.need(bindingOrValue?.[0]));
}

/** The body of a loop or branch is kept even where its head could not be read, for the messages it may hold. */
function loop(b: Builder, node: cst.ForStatementCstNode): Stmt {
  const { Identifier, expression: lists, body: bodies } = node.children;
  const inner = body(b, bodies?.[0]);
  return { kind: "for", name: b.name(Identifier?.[0]), list: expression(b, lists?.[0]), body: inner, span: b.nodeSpan(node) };
}

function conditional(b: Builder, node: cst.IfStatementCstNode): Stmt {
  const { If, Else, expression: conditions, choice: rest, body: bodies } = node.children;
  const { end } = b.nodeSpan(node);
  if (rest) {
    const value = choice(b, If[0]!, expression(b, conditions[0]), rest[0]!);
    return { kind: "expr", value, span: value.span };
  }
  if (If.length > MAX_NESTING) {
    b.report("nesting-too-deep", { limit: MAX_NESTING }, b.tokenSpan(If[MAX_NESTING]!));
    throw new Incomplete();
  }
  const branches = b.need(bodies).map((x) => body(b, x));
  const tests = conditions.map((c) => expression(b, c));
  let otherwise: readonly Stmt[] = (Else?.length ?? 0) >= If.length ? b.need(branches[If.length]) : [];
  for (let i = If.length - 1; i > 0; i--) {
    otherwise = [{ kind: "if", condition: b.need(tests[i]), then: b.need(branches[i]), else: otherwise, span: b.span(If[i]!.startOffset, end) }];
  }
  return { kind: "if", condition: b.need(tests[0]), then: b.need(branches[0]), else: otherwise, span: b.span(If[0]!.startOffset, end) };
}

function binding(b: Builder, node: cst.BindingOrValueCstNode): Stmt {
  const { range: left, Equal, expression: right } = node.children;
  const span = b.nodeSpan(node);
  if (!Equal) {
    const value: Expr = range(b, left[0]);
    return { kind: "expr", value, span };
  }
  const targets = targetsOf(b, left[0]);
  if (targets === null) {
    b.report("not-a-target", {}, b.nodeSpan(b.need(left[0])));
    expression(b, right?.[0]);
    throw new Incomplete();
  }
  return { kind: "assign", targets, value: expression(b, right?.[0]), span };
}

/** `x`, or `(a, b)`; null for anything else. */
function targetsOf(b: Builder, node: cst.RangeCstNode | undefined): readonly Name[] | null {
  const atom = soleAtom(node);
  if (atom?.children.Identifier) return [b.name(atom.children.Identifier[0])];
  const inner = atom?.children.parentheses?.[0]?.children.expression;
  if (!inner) return null;
  const names = inner.map((e) => soleAtom(e.children.range?.[0])?.children.Identifier?.[0]);
  return names.includes(undefined) ? null : names.map((n) => b.name(n));
}

/** The atom that an expression consists of, without operators and suffixes. */
function soleAtom(node: cst.RangeCstNode | undefined): cst.AtomCstNode | null {
  const logic = node?.children.DotDot ? undefined : node?.children.logic?.[0];
  const test = logic?.children.LogicOperator ? undefined : logic?.children.test?.[0];
  const sum = test?.children.Not ? undefined : test?.children.arithmetic?.[0];
  const operand = sum?.children.ArithmeticOperator ? undefined : sum?.children.operand?.[0];
  return operand && !operand.children.Minus && !operand.children.suffix ? (operand.children.atom?.[0] ?? null) : null;
}
