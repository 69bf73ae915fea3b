// Statements that count in training: losses, and updates of states.
import type { Expr, Stmt } from "../../syntax/ast.js";
import type { Binding, WeightRecord } from "../names/bindings.js";
import type { Env } from "../names/environment.js";
import type { Emitter } from "../model/context.js";
import { toValue } from "../tensors/convert.js";
import { evaluate } from "../eval/evaluate.js";
import type { Trace } from "../model/checker.js";
import type { CallNode, FoundLoss, FoundUpdate } from "./call-tree.js";
import { equalShapes, typeOf } from "../model/types.js";
import { describe, hasError, printType } from "../model/values.js";

/** The parts of the current frame that a statement needs. */
interface Running {
  readonly node: CallNode;
  readonly env: Env;
  /** The calling frame; null for the entered function. */
  readonly outer: object | null;
  readonly losses: Map<string, Stmt>;
}

/** Evaluates `loss name = e`; null after a report. */
export function lossOf(
  stmt: Extract<Stmt, { kind: "loss" }>,
  { node, env, outer, losses }: Running,
  body: Emitter,
): FoundLoss | null {
  const name = stmt.name.text;
  const before = losses.get(name);
  if (before !== undefined && before !== stmt)
    body.report("duplicate-name", { name, where: "among the losses of this function" }, stmt.name.span);
  losses.set(name, stmt);
  const value = evaluate(stmt.value, env);
  if (hasError(value)) return null;
  const scalar =
    value.kind === "tensor" || value.kind === "number"
      ? toValue(body, value, "f32", [], `the loss \`${name}\``, stmt.value.span)
      : null;
  const { type } = scalar ?? { type: null };
  if (scalar !== null && type?.dtype === "f32" && type.shape.length === 0)
    return { node, name, value: scalar, own: outer === null };
  body.report("loss-not-scalar", { name, found: type === null ? describe(value) : printType(type) }, stmt.value.span);
  return null;
}

/** Evaluates `update name = e`; null after a report. `trace`: the calls that led here. */
export function updateOf(
  stmt: Extract<Stmt, { kind: "update" }>,
  { node, env }: Running,
  body: Emitter,
  trace: Trace | null,
): FoundUpdate | null {
  const { text: name, span } = stmt.name;
  const binding = env.scope.find(name);
  const value = evaluate(stmt.value, env);
  if (binding?.kind !== "weight" || binding.weight.decl.kind !== "state") {
    reportNoState(stmt.name, binding, env);
    return null;
  }
  if (hasError(value)) return null;
  const type = typeOf("f32", binding.weight.shape);
  const next = toValue(body, value, "f32", [], `the update of \`${name}\``, stmt.value.span);
  if (next === null) return null;
  if (next.type.dtype === "f32" && equalShapes(next.type.shape, type.shape))
    return { node, trace, state: binding.weight, value: next, span };
  body.report(
    "shape-mismatch",
    {
      what: `\`update ${name}\``,
      left: printType(type),
      right: printType(next.type),
      reason: "a state keeps its type",
    },
    stmt.value.span,
  );
  return null;
}

function reportNoState(name: { readonly text: string; readonly span: Expr["span"] }, found: Binding | null, env: Env) {
  const { text, span } = name;
  if (found === null) {
    evaluate({ kind: "name", name: text, span }, env); // reports the unknown name
    return;
  }
  const value = found.kind === "value" ? found.value : null;
  if (value?.kind === "error") return;
  env.checker.report(
    "not-a-state",
    { name: text, found: value ? describe(value) : NAMED[found.kind], weight: found.kind === "weight" },
    span,
  );
}

const NAMED: { readonly [K in Binding["kind"]]: string } = {
  value: "a value",
  weight: "a weight",
  function: "a function",
  block: "a block",
  const: "a constant",
};

/** Second updates of a state, each with the first update. */
export function secondUpdates(
  updates: readonly FoundUpdate[],
): readonly { readonly first: FoundUpdate; readonly second: FoundUpdate }[] {
  const before = new Map<WeightRecord, FoundUpdate>();
  return updates.flatMap((second) => {
    const first = before.get(second.state);
    if (first !== undefined) return [{ first, second }];
    before.set(second.state, second);
    return [];
  });
}
