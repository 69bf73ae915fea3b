// Evaluates calls of blocks, instances, functions and built-in functions.
import type { Span } from "../../diagnostics/span.js";
import type { Arg, Expr, Fn } from "../../syntax/ast.js";
import { bindArguments, signature, type Signature } from "../names/arguments.js";
import type { Instance } from "../names/bindings.js";
import { builtins } from "../builtins/index.js";
import { functionsOf, throughExperts, type ExpertsValue } from "./experts.js";
import { callCompileTime, isCompileTimeCall, isCompileTimeFunction } from "./compile-time.js";
import { ERROR, type ConstValue, type Argument, type Builtin } from "../model/context.js";
import type { Env } from "../names/environment.js";
import { instanceOf } from "../names/instance.js";
import { unknownMember, unknownName, valueOf } from "../names/names.js";
import { describe, hasError } from "../model/values.js";

type Call = Extract<Expr, { kind: "call" }>;

/** The value of `callee(args)`. */
export function evaluateCall(expr: Call, env: Env): ConstValue {
  const { callee, span } = expr;
  if (callee.kind === "name") {
    const binding = env.scope.find(callee.name);
    if (binding === null) return callBuiltin(callee.name, expr, env);
    if (binding.kind === "function") return callFunction(binding.instance, binding.fn, expr, env);
    if (binding.kind === "block") {
      if (env.make !== null) return env.make(binding.block, binding.file, expr.args, span, env);
      env.checker.report("instance-in-function", { block: callee.name, where: env.place }, callee.span);
      return ERROR;
    }
    return callValue(valueOf(binding, callee.name, callee.span, env), expr, env);
  }
  if (callee.kind === "member") {
    const object = env.evaluate(callee.object, env);
    if (object.kind === "instance") {
      const instance = instanceOf(object.instance);
      const member = instance.bodyNames.get(callee.name.text);
      if (member?.kind === "function") return callFunction(instance, member.fn, expr, env);
      if (member !== undefined) return callValue(valueOf(member, callee.name.text, callee.name.span, env), expr, env);
      return unknownMember(env.checker, instance, callee.name.text, callee.name.span);
    }
    if (object.kind === "experts") return callExperts(object, callee.name.text, expr, env);
    if (object.kind === "error") return ERROR;
  }
  return callValue(env.evaluate(callee, env), expr, env);
}

function callValue(value: ConstValue, expr: Call, env: Env): ConstValue {
  if (value.kind === "error") return ERROR;
  if (value.kind === "experts") return callExperts(value, "forward", expr, env);
  if (value.kind !== "instance") {
    env.checker.report("not-callable", { found: describe(value) }, expr.callee.span);
    return ERROR;
  }
  const instance = instanceOf(value.instance);
  const forward = instance.bodyNames.get("forward");
  if (forward?.kind === "function") return callFunction(instance, forward.fn, expr, env);
  env.checker.report("no-function", { block: instance.block, name: "forward" }, expr.callee.span);
  return ERROR;
}

/** The name of a block's function in messages: `Linear.forward`. */
export const nameOfFunction = (instance: Instance, fn: Fn): string => `${instance.block}.${fn.name.text}`;

function callFunction(instance: Instance, fn: Fn, expr: Call, env: Env): ConstValue {
  const values = valuesOf(expr.args, env);
  const bound = bindValues(signatureOf(instance, fn), expr.args, values, expr.span, env);
  if (bound === null) return ERROR;
  if (env.body !== null) return env.body.call(instance, fn, bound, expr.span);
  env.checker.report("not-compile-time", { what: env.place, value: "the result of a function" }, expr.span);
  return ERROR;
}

/** `blocks[choice].name(args)`: evaluates the arguments once, and binds them to the function of each block. */
function callExperts(experts: ExpertsValue, name: string, expr: Call, env: Env): ConstValue {
  const values = valuesOf(expr.args, env);
  const { body } = env;
  if (body === null) {
    env.checker.report("not-compile-time", { what: env.place, value: describe(experts) }, expr.span);
    return ERROR;
  }
  const functions = functionsOf(experts, name, expr.callee.span, env);
  return functions === null
    ? ERROR
    : throughExperts(body, experts.choice, functions, expr.span, ({ instance, fn }) =>
        bindValues(signatureOf(instance, fn), expr.args, values, expr.span, env),
      );
}

const signatures = new WeakMap<Fn | Builtin, Signature>();

function signatureOf(instance: Instance, fn: Fn): Signature {
  let known = signatures.get(fn);
  if (known === undefined) {
    known = signature(
      nameOfFunction(instance, fn),
      fn.inputs.map((i) => ({ name: i.name.text, optional: false, named: false })),
    );
    signatures.set(fn, known);
  }
  return known;
}

/** The values of arguments, evaluated in source order. */
function valuesOf(args: readonly Arg[], env: Env): readonly ConstValue[] {
  const values: ConstValue[] = [];
  for (const arg of args) values.push(env.evaluate(arg.value, env));
  return values;
}

/** Arguments, whose values are given in source order, by parameter; null after a report. */
function bindValues(
  signature: Signature,
  args: readonly Arg[],
  values: readonly ConstValue[],
  span: Span,
  env: Env,
): ReadonlyMap<string, Argument> | null {
  const bound = bindArguments(env.checker, signature, args, span, ({ value: expr }, i) => ({
    value: values[i]!,
    span: expr.span,
    expr,
  }));
  return values.some(hasError) ? null : bound;
}

function callBuiltin(name: string, expr: Call, env: Env): ConstValue {
  const { args, span, callee } = expr;
  const builtin = builtins.get(name);
  const compileTime = isCompileTimeFunction(name);
  if (builtin === undefined && !compileTime) {
    for (const a of args) env.evaluate(a.value, env);
    return unknownName(name, callee.span, env);
  }
  const values = valuesOf(args, env);
  if (values.some(hasError)) return ERROR;
  if (
    compileTime &&
    (builtin === undefined || (isCompileTimeCall(name, values) && args.every((a) => a.name === null)))
  ) {
    const named = args.find((a) => a.name !== null)?.name;
    if (named) {
      env.checker.report(
        "unknown-argument",
        { callee: name, name: named.text, suggestion: null, takes: [] },
        named.span,
      );
      return ERROR;
    }
    return callCompileTime(env.checker, name, values, span);
  }
  return builtin === undefined ? ERROR : callTensorFunction(name, builtin, expr, values, env);
}

function callTensorFunction(
  name: string,
  builtin: Builtin,
  expr: Call,
  values: readonly ConstValue[],
  env: Env,
): ConstValue {
  const bound = bindValues(signatureOfBuiltin(name, builtin), expr.args, values, expr.span, env);
  if (bound === null) return ERROR;
  for (const { value } of bound.values()) env.checker.spend(weightOf(value), expr.span);
  if (env.body !== null) return builtin.apply(env.body, bound, expr.span);
  env.checker.report("not-compile-time", { what: env.place, value: `the result of \`${name}\`` }, expr.span);
  return ERROR;
}

function signatureOfBuiltin(name: string, builtin: Builtin): Signature {
  let known = signatures.get(builtin);
  if (known === undefined) {
    const parameters = builtin.params.map((p) => ({
      name: p.name,
      optional: p.optional ?? false,
      named: p.named ?? false,
    }));
    signatures.set(builtin, (known = signature(name, parameters, builtin.rest ?? false)));
  }
  return known;
}

/** The work of inspecting an argument: the items of a list, the letters of a pattern. */
const weightOf = (value: ConstValue): number =>
  value.kind === "list" ? value.items.length : value.kind === "string" ? Math.ceil(value.value.length / 8) : 0;
