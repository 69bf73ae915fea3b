// Initialisers of weights and states: `zeros`, `ones`, `normal(std)`, `uniform(lo, hi)`, `orthogonal(gain)`.
import type { Span } from "../../diagnostics/span.js";
import type { DType } from "../../../ground/base/dtype.js";
import { isFloat } from "../../../ground/base/dtype.js";
import { toNumber } from "../../../ground/numerics/rational.js";
import type { Expr } from "../../syntax/ast.js";
import { bindArguments, signature } from "../names/arguments.js";
import type { Env } from "../names/environment.js";
import { conditionOf, evaluate } from "../eval/evaluate.js";
import type { Initialiser } from "../model/model.js";
import { describe } from "../model/values.js";

export const ZEROS: Initialiser = { kind: "zeros" };

const PARAMETERS: ReadonlyMap<string, readonly string[]> = new Map([
  ["zeros", []],
  ["ones", []],
  ["normal", ["std"]],
  ["uniform", ["lo", "hi"]],
  ["orthogonal", ["gain"]],
]);

/** The default initialiser: normal(1/√n) with n the last dimension, zeros for a vector. */
export function defaultInitialiser(dtype: DType, shape: readonly number[]): Initialiser {
  const last = shape[shape.length - 1];
  return shape.length < 2 || last === undefined || !isFloat(dtype)
    ? ZEROS
    : { kind: "normal", std: 1 / Math.sqrt(last) };
}

/** Evaluates the initialiser after `=`; null after a report. */
export function initialiserOf(
  expr: Expr,
  {
    kind,
    dtype,
    shape,
  }: { readonly kind: "weight" | "state"; readonly dtype: DType; readonly shape: readonly number[] },
  env: Env,
): Initialiser | null {
  const { checker } = env;
  if (expr.kind === "if") {
    const chosen = conditionOf(expr.condition, env);
    return chosen === null ? null : initialiserOf(chosen ? expr.then : expr.else, { kind, dtype, shape }, env);
  }
  const head = expr.kind === "call" ? expr.callee : expr;
  const names = head.kind === "name" ? PARAMETERS.get(head.name) : undefined;
  if (head.kind !== "name" || names === undefined) {
    const value = head.kind === "name" ? null : evaluate(expr, env);
    if (value?.kind !== "error")
      checker.report(
        "unknown-initialiser",
        { kind, found: value === null ? `\`${nameOf(head)}\`` : describe(value) },
        expr.span,
      );
    return null;
  }
  const args = expr.kind === "call" ? expr.args : [];
  const parameters = names.map((name) => ({ name, optional: head.name === "orthogonal", named: false }));
  const bound = bindArguments(checker, signature(head.name, parameters), args, expr.span, (arg) => arg);
  if (bound === null) return null;
  const numbers: number[] = [];
  for (const name of names) {
    const arg = bound.get(name);
    const n = arg === undefined ? 1 : numberOf(arg.value, `\`${name}\` of \`${head.name}\``, env);
    if (n === null) return null;
    numbers.push(n);
  }
  const [a = 0, b = 0] = numbers;
  const initialiser = make(head.name, a, b);
  const reason = faultOf(initialiser, dtype, shape);
  if (reason === null) return initialiser;
  checker.report("bad-initialiser", { reason }, expr.span);
  return null;
}

const nameOf = (head: Expr): string => (head.kind === "name" ? head.name : "");

function make(name: string, a: number, b: number): Initialiser {
  switch (name) {
    case "ones":
      return { kind: "ones" };
    case "normal":
      return { kind: "normal", std: a };
    case "uniform":
      return { kind: "uniform", low: a, high: b };
    case "orthogonal":
      return { kind: "orthogonal", gain: a };
    default:
      return ZEROS;
  }
}

function faultOf(init: Initialiser, dtype: DType, shape: readonly number[]): string | null {
  if (!isFloat(dtype) && init.kind !== "zeros" && init.kind !== "ones")
    return `a weight of ${dtype} starts as zeros or ones, not ${init.kind}`;
  switch (init.kind) {
    case "zeros":
    case "ones":
      return null;
    case "normal":
      return init.std < 0 ? "the deviation of `normal` is negative" : null;
    case "uniform":
      return init.low > init.high ? "the bounds of `uniform` are in the wrong order" : null;
    case "orthogonal":
      return shape.length < 2 ? "`orthogonal` needs a weight of at least two axes" : null;
    default:
      return init satisfies never;
  }
}

function numberOf(expr: Expr, what: string, env: Env): number | null {
  const value = evaluate(expr, env);
  if (value.kind === "number") return toNumber(value.value);
  reportNumber(value.kind, describe(value), what, expr.span, env);
  return null;
}

function reportNumber(kind: string, found: string, what: string, span: Span, { checker }: Env): void {
  if (kind === "size" || kind === "tensor") checker.report("not-compile-time", { what, value: found }, span);
  else if (kind !== "error") checker.report("wrong-kind", { what, expected: "a number", found }, span);
}
