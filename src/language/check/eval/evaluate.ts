// Evaluates expressions: compile-time values exactly, tensors by emitting operations.
import type { Span } from "../../diagnostics/span.js";
import { invariant } from "../../../ground/base/invariant.js";
import { isInteger, toNumber } from "../../../ground/numerics/rational.js";
import type { BinaryOp, Expr, Index } from "../../syntax/ast.js";
import { computeBinary, computeUnary, withinLimit } from "./arithmetic.js";
import type { Scope } from "../../names/scope.js";
import type { Binding, Instance } from "../names/bindings.js";
import { builtins } from "../builtins/index.js";
import { evaluateCall } from "./call.js";
import { isCompileTimeFunction, phaseValue } from "./compile-time.js";
import { ERROR, type ConstValue, type Argument, type EvaluatedIndex, type ListValue } from "../model/context.js";
import type { Env } from "../names/environment.js";
import { instanceOf } from "../names/instance.js";
import { MAX_LIST } from "../model/limits.js";
import { unknownMember, unknownName, valueOf } from "../names/names.js";
import { applyBinary, applyIndex, applyMember, applyUnary } from "../tensors/operators.js";
import type { Checker } from "../model/checker.js";
import { nearest } from "../../../ground/numerics/nearest.js";
import { bool, describe, hasError, int, listOf, numberOf, printNumber } from "../model/values.js";

type Of<K extends Expr["kind"]> = Extract<Expr, { kind: K }>;

/** Creates the environment of a place; by default one outside functions. */
export const environment = (
  checker: Checker,
  scope: Scope<Binding>,
  place: string,
  may: Partial<Pick<Env, "body" | "make" | "pending">> = {},
): Env => ({
  checker,
  scope,
  place,
  evaluate,
  body: null,
  make: null,
  pending: null,
  ...may,
});

/** Evaluates an expression; returns an error value after a report. */
export function evaluate(expr: Expr, env: Env): ConstValue {
  const { checker } = env;
  checker.enter(expr.span);
  const value = (EVALUATE[expr.kind] as (expr: Expr, env: Env) => ConstValue)(expr, env); // by its kind
  checker.leave();
  return value;
}

const EVALUATE: {
  readonly [K in Expr["kind"]]: (expr: Extract<Expr, { kind: K }>, env: Env) => ConstValue;
} = {
  number: (expr, env) => withinLimit(env.checker, numberOf(expr.value, expr.form), expr.span),
  string: ({ value }) => ({ kind: "string", value }),
  bool: ({ value }) => bool(value),
  none: () => ({ kind: "none" }),
  name: evaluateName,
  unary: evaluateUnary,
  binary: evaluateBinary,
  if(expr, env) {
    const chosen = conditionOf(expr.condition, env);
    return chosen === null ? ERROR : evaluate(chosen ? expr.then : expr.else, env);
  },
  list: ({ items }, env) => listOf(items.map((item) => evaluate(item, env))),
  comprehension: evaluateComprehension,
  range: evaluateRange,
  call: evaluateCall,
  member: evaluateMember,
  index: evaluateIndex,
};

const needsBody = (value: ConstValue): boolean =>
  value.kind === "tensor" || value.kind === "route" || value.kind === "choice";

/** Reports a tensor outside a function. */
function outsideFunction(env: Env, value: ConstValue, span: Span): ConstValue {
  env.checker.report("not-compile-time", { what: env.place, value: describe(value) }, span);
  return ERROR;
}

// --- names

function evaluateName(expr: Of<"name">, env: Env): ConstValue {
  const binding = env.scope.find(expr.name);
  if (binding !== null) return valueOf(binding, expr.name, expr.span, env);
  const phase = phaseValue(expr.name, env.checker.phase);
  if (phase !== null) return phase;
  if (isCompileTimeFunction(expr.name) || builtins.has(expr.name)) {
    env.checker.report("not-a-value", { name: expr.name, what: "a built-in function" }, expr.span);
    return ERROR;
  }
  return unknownName(expr.name, expr.span, env);
}

// --- operators

function evaluateUnary(expr: Of<"unary">, env: Env): ConstValue {
  const operand = evaluate(expr.operand, env);
  if (!needsBody(operand)) return computeUnary(env.checker, expr.op, operand, expr.span);
  return env.body === null
    ? outsideFunction(env, operand, expr.operand.span)
    : applyUnary(env.body, expr.op, operand, expr.span);
}

/** Iterates over the left operands: `a + b + c + …` may be long. */
function evaluateBinary(expr: Of<"binary">, env: Env): ConstValue {
  const spine: Of<"binary">[] = [];
  let first: Expr = expr;
  for (; first.kind === "binary"; first = first.left) spine.push(first);
  let left = evaluate(first, env);
  for (let node = spine.pop(); node !== undefined; node = spine.pop()) left = combine(node, left, env);
  return left;
}

function combine(node: Of<"binary">, left: ConstValue, env: Env): ConstValue {
  const { op, opSpan, span } = node;
  if (op === "and" || op === "or") {
    if (left.kind === "bool")
      return left.value === (op === "or") ? left : shortCircuit(node, op, evaluate(node.right, env), env);
    if (left.kind === "error") return ERROR;
  }
  const right = evaluate(node.right, env);
  if (left.kind === "error" || right.kind === "error") return ERROR;
  if (!needsBody(left) && !needsBody(right))
    return computeBinary({ checker: env.checker, op, left, right, span, opSpan });
  if (env.body === null) return outsideFunction(env, needsBody(left) ? left : right, span);
  return applyBinary(env.body, op, left, right, span, opSpan);
}

/** The value of `true and right` and `false or right`: the right side. */
function shortCircuit(node: Of<"binary">, op: BinaryOp, right: ConstValue, env: Env): ConstValue {
  const fits =
    right.kind === "bool" || right.kind === "error" || (right.kind === "tensor" && right.value.type.dtype === "bool");
  if (fits) return right;
  env.checker.report(
    "wrong-operands",
    { op, left: op === "and" ? "true" : "false", right: describe(right) },
    node.opSpan,
  );
  return ERROR;
}

/** A compile-time condition; null after a report. */
export function conditionOf(expr: Expr, env: Env): boolean | null {
  const value = evaluate(expr, env);
  switch (value.kind) {
    case "bool":
      return value.value;
    case "error":
      return null;
    case "tensor":
    case "route":
    case "choice":
    case "size": {
      const hint = "to choose element by element, use `where(condition, a, b)`";
      const found = { what: "a condition", value: describe(value), ...(value.kind === "tensor" && { hint }) };
      env.checker.report("not-compile-time", found, expr.span);
      return null;
    }
    default:
      env.checker.report("not-a-condition", { found: describe(value) }, expr.span);
      return null;
  }
}

// --- lists

/** The items of a list; null after a report. */
export function itemsOf(expr: Expr, env: Env): readonly ConstValue[] | null {
  const value = evaluate(expr, env);
  if (value.kind === "list") return value.items;
  if (value.kind !== "error") env.checker.report("not-a-list", { found: describe(value) }, expr.span);
  return null;
}

function evaluateComprehension(expr: Of<"comprehension">, env: Env): ConstValue {
  const items = itemsOf(expr.list, env);
  if (items === null) return ERROR;
  return listOf(
    items.map((value) =>
      evaluate(expr.body, { ...env, scope: env.scope.inner(new Map([[expr.name.text, { kind: "value", value }]])) }),
    ),
  );
}

function evaluateRange(expr: Of<"range">, env: Env): ConstValue {
  const from = integerOf(evaluate(expr.from, env), "the start of a range", expr.from.span, env);
  const to = integerOf(evaluate(expr.to, env), "the end of a range", expr.to.span, env);
  if (from === null || to === null) return ERROR;
  const length = Math.max(0, to - from);
  if (length > MAX_LIST) env.checker.abort("items in one list", MAX_LIST, expr.span);
  env.checker.spend(length, expr.span);
  return { kind: "list", items: Array.from({ length }, (_, i) => int(from + i)), broken: false };
}

/** A compile-time integer; null after a report. */
export function integerOf(value: ConstValue, what: string, span: Span, env: Env): number | null {
  if (value.kind === "number") {
    const n = toNumber(value.value);
    if (isInteger(value.value) && Number.isSafeInteger(n)) return n;
    if (isInteger(value.value)) env.checker.report("number-too-large", { bits: 53 }, span);
    else env.checker.report("not-an-integer", { what, value: printNumber(value) }, span);
    return null;
  }
  if (value.kind === "size" || needsBody(value))
    env.checker.report("not-compile-time", { what, value: describe(value) }, span);
  else if (value.kind !== "error")
    env.checker.report("wrong-kind", { what, expected: "a whole number", found: describe(value) }, span);
  return null;
}

// --- members and indices

function evaluateMember(expr: Of<"member">, env: Env): ConstValue {
  const object = evaluate(expr.object, env);
  const name = expr.name.text;
  switch (object.kind) {
    case "error":
      return ERROR;
    case "instance": {
      const instance = instanceOf(object.instance);
      const member = instance.bodyNames.get(name);
      if (member !== undefined) return valueOf(member, name, expr.name.span, env);
      return unknownMember(env.checker, instance, name, expr.name.span);
    }
    case "tuple": {
      const item = object.items[object.names.indexOf(name)];
      if (item !== undefined) return item;
      env.checker.report(
        "unknown-member",
        { object: describe(object), name, suggestion: nearest(name, object.names) },
        expr.name.span,
      );
      return ERROR;
    }
    case "tensor":
    case "route":
    case "choice":
      return env.body === null
        ? outsideFunction(env, object, expr.object.span)
        : applyMember(env.body, object, name, expr.name.span);
    default:
      env.checker.report("unknown-member", { object: describe(object), name, suggestion: null }, expr.name.span);
      return ERROR;
  }
}

function evaluateIndex(expr: Of<"index">, env: Env): ConstValue {
  const object = evaluate(expr.object, env);
  if (object.kind === "error") return ERROR;
  if (object.kind === "list") return indexList(object, expr, env);
  const indices = expr.indices.map((i) => evaluatedIndex(i, env));
  if (!needsBody(object)) {
    const hint = object.kind === "instance" ? { hint: insteadOfIndex(instanceOf(object.instance), expr.object) } : {};
    env.checker.report("wrong-operands", { op: "[ ]", left: null, right: describe(object), ...hint }, expr.span);
    return ERROR;
  }
  if (indices.some(indexHasError)) return ERROR;
  return env.body === null
    ? outsideFunction(env, object, expr.object.span)
    : applyIndex(env.body, object, indices, expr.span);
}

/** A hint for an index on an instance: a call, or an index on the instance's first weight. */
function insteadOfIndex({ bodyNames }: Instance, object: Expr): string {
  const name = object.kind === "name" ? object.name : "block";
  const forward = bodyNames.get("forward");
  const weight = [...bodyNames].find(([, { kind }]) => kind === "weight")?.[0];
  const ways = [
    ...(forward?.kind === "function"
      ? [`call it, \`${name}(${forward.fn.inputs.map((i) => i.name.text).join(", ")})\``]
      : []),
    ...(weight === undefined ? [] : [`index its weight, \`${name}.${weight}[…]\``]),
  ];
  return ways.length > 0 ? ways.join(", or ") : "use its members by name, `block.member`";
}

function evaluatedIndex(index: Index, env: Env): EvaluatedIndex {
  const bound = (e: Expr | null): Argument | null =>
    e === null ? null : { value: evaluate(e, env), span: e.span, expr: e };
  switch (index.kind) {
    case "at": {
      const value = evaluate(index.value, env);
      return value.kind === "none" ? { kind: "new-axis", span: index.span } : { kind: "at", value, span: index.span };
    }
    case "slice":
      return {
        kind: "slice",
        start: bound(index.start),
        stop: bound(index.stop),
        step: bound(index.step),
        span: index.span,
      };
    case "new-axis":
    case "rest":
      return { kind: index.kind, span: index.span };
    default:
      return index satisfies never;
  }
}

const indexHasError = (index: EvaluatedIndex): boolean =>
  index.kind === "at"
    ? hasError(index.value)
    : index.kind === "slice" && [index.start, index.stop, index.step].some((b) => b !== null && hasError(b.value));

/** The step of a slice, at least 1; null after a report. */
function stepOf(value: ConstValue, span: Span, env: Env): number | null {
  const step = integerOf(value, "the step of a slice", span, env);
  if (step === null || step >= 1) return step;
  const data = { what: "the step of a slice", needs: "at least 1", found: String(step) };
  env.checker.report("argument-out-of-range", data, span);
  return null;
}

/** Evaluates `list[i]` (a negative i counts from the end), `list[a:b]` (clamped) and `list[choice]`. */
function indexList(list: ListValue, expr: Of<"index">, env: Env): ConstValue {
  const { items } = list;
  const [index, surplus] = expr.indices;
  invariant(index !== undefined, "an index without indices");
  if (surplus !== undefined || index.kind === "new-axis" || index.kind === "rest") {
    const found = surplus ? `${expr.indices.length} indices` : "none";
    env.checker.report("wrong-kind", { what: "the index of a list", expected: "one whole number", found }, expr.span);
    return ERROR;
  }
  const clamped = (e: Expr | null, otherwise: number): number | null => {
    if (e === null) return otherwise;
    const n = integerOf(evaluate(e, env), "the bound of a slice", e.span, env);
    return n === null ? null : Math.max(0, Math.min(items.length, n < 0 ? n + items.length : n));
  };
  if (index.kind === "slice") {
    env.checker.spend(items.length, expr.span);
    const start = clamped(index.start, 0);
    const stop = clamped(index.stop, items.length);
    const step = index.step === null ? 1 : stepOf(evaluate(index.step, env), index.step.span, env);
    if (start === null || stop === null || step === null) return ERROR;
    return listOf(items.slice(start, stop).filter((_, i) => i % step === 0));
  }
  const at = evaluate(index.value, env);
  if (at.kind === "choice") return { kind: "experts", blocks: list, choice: at.value };
  if (at.kind === "tensor") {
    const hint =
      "index tensors by tensors, and blocks by a choice: `blocks[chosen](x)` with `chosen = top(score, k, axis: -1)`";
    env.checker.report("not-compile-time", { what: "the index of a list", value: describe(at), hint }, index.span);
    return ERROR;
  }
  const n = integerOf(at, "the index of a list", index.span, env);
  if (n === null) return ERROR;
  const item = items[n < 0 ? n + items.length : n];
  if (item !== undefined) return item;
  env.checker.report("index-out-of-range", { index: String(n), length: items.length }, index.span);
  return ERROR;
}
