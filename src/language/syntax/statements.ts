// Builds the statements of a function's body.
import type * as cst from "../../../grammar/cst.js";
import type { Span } from "../diagnostics/span.js";
import type { Expr, Name, Stmt } from "./ast.js";
import { Incomplete, type Builder } from "./builder.js";
import { choice, expression, valueOrRange } from "./expressions.js";
import { MAX_NESTING } from "./limits.js";

export function body(b: Builder, node: cst.BodyCstNode | undefined): readonly Stmt[] {
  return b.buildAll(b.need(node).children.statement, (s) => statement(b, s));
}

function statement(b: Builder, node: cst.StatementCstNode): Stmt {
  const { forStatement, ifStatement, lossStatement, observeStatement, updateStatement, bindingOrValue } = node.children;
  if (forStatement) return loop(b, forStatement[0]!);
  if (ifStatement) return conditional(b, ifStatement[0]!);
  if (lossStatement) {
    const { Identifier, expression: values } = lossStatement[0]!.children;
    return { kind: "loss", name: b.name(Identifier?.[0]), value: expression(b, values?.[0]), span: b.nodeSpan(node) };
  }
  if (observeStatement) {
    return { kind: "observe", name: b.name(observeStatement[0]!.children.Identifier?.[0]), span: b.nodeSpan(node) };
  }
  if (updateStatement) {
    const { Identifier, expression: values } = updateStatement[0]!.children;
    return { kind: "update", name: b.name(Identifier?.[0]), value: expression(b, values?.[0]), span: b.nodeSpan(node) };
  }
  return binding(b, b.need(bindingOrValue?.[0]));
}

/**
 * Builds the body of a loop or branch even if the parser could not read its head, so that errors in the body are
 * reported.
 */
function loop(b: Builder, node: cst.ForStatementCstNode): Stmt {
  const { Identifier, expression: lists, body: bodies } = node.children;
  const inner = body(b, bodies?.[0]);
  return {
    kind: "for",
    name: b.name(Identifier?.[0]),
    list: expression(b, lists?.[0]),
    body: inner,
    span: b.nodeSpan(node),
  };
}

function conditional(b: Builder, node: cst.IfStatementCstNode): Stmt {
  const { If, expression: conditions, choice: rest, body: bodies } = node.children;
  if (rest) {
    const value = choice(b, If[0]!, expression(b, conditions[0]), rest[0]!);
    return { kind: "expr", value, span: value.span };
  }
  return ifChain<Stmt, Stmt>(
    b,
    node,
    () => b.need(bodies).map((x) => body(b, x)),
    (parts) => ({ kind: "if", ...parts }),
  );
}

interface IfParts<Item> {
  readonly condition: Expr;
  readonly then: readonly Item[];
  readonly else: readonly Item[];
  readonly span: Span;
}

/** An `if` of statements or members: each `else if` is an else branch with one `if`, which `make` makes of its parts. */
export function ifChain<Item, If extends Item>(
  b: Builder,
  node: cst.IfStatementCstNode | cst.MemberIfCstNode,
  branchesOf: () => readonly (readonly Item[])[],
  make: (parts: IfParts<Item>) => If,
): If {
  const { If: ifs, Else, expression: conditions } = node.children;
  const { end } = b.nodeSpan(node);
  if (ifs.length > MAX_NESTING) {
    b.report("nesting-too-deep", { limit: MAX_NESTING }, b.tokenSpan(ifs[MAX_NESTING]!));
    throw new Incomplete();
  }
  const branches = branchesOf();
  const tests = conditions.map((c) => expression(b, c));
  let otherwise: readonly Item[] = (Else?.length ?? 0) >= ifs.length ? b.need(branches[ifs.length]) : [];
  for (let i = ifs.length - 1; ; i--) {
    const [condition, then] = [b.need(tests[i]), b.need(branches[i])];
    const branch = make({ condition, then, else: otherwise, span: b.span(ifs[i]!.startOffset, end) });
    if (i === 0) return branch;
    otherwise = [branch];
  }
}

function binding(b: Builder, node: cst.BindingOrValueCstNode): Stmt {
  const { chain: sides, Equal, expression: right } = node.children;
  const span = b.nodeSpan(node);
  if (!Equal) return { kind: "expr", value: valueOrRange(b, sides), span };
  const left = b.need(sides[0]);
  const targets = targetsOf(b, left);
  const value = b.attempt(() => expression(b, right?.[0]));
  if (targets === null) b.report("not-a-target", {}, b.nodeSpan(left));
  return { kind: "assign", targets: b.need(targets), value: b.need(value), span };
}

/** The targets of an assignment, `x` or `(a, b)`; null for anything else. */
function targetsOf(b: Builder, node: cst.ChainCstNode): readonly Name[] | null {
  const term = soleTerm(node);
  if (term?.children.Identifier) return [b.name(term.children.Identifier[0])];
  const inner = term?.children.expression;
  if (!inner) return null;
  const names = inner.map((e) =>
    e.children.chain?.length === 1 ? soleTerm(e.children.chain[0]!)?.children.Identifier?.[0] : undefined,
  );
  return names.includes(undefined) ? null : names.map((n) => b.name(n));
}

/** The single term of a chain without operators and suffixes; null for any other chain. */
function soleTerm(node: cst.ChainCstNode): cst.TermCstNode | null {
  const { BinaryOperator, PrefixOperator, term: terms } = node.children;
  const only = BinaryOperator || PrefixOperator ? undefined : terms?.[0];
  return only && !only.children.suffix ? only : null;
}
