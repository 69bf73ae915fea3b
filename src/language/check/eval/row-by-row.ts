// Finds functions that compute row by row and have no other effects, so that one call can compute all experts.
import type { Expr, Fn, Stmt } from "../../syntax/ast.js";
import { elementwise } from "../builtins/elementwise.js";
import { equalShapes } from "../model/types.js";
import type { Value } from "../model/model.js";
import type { Instance } from "../names/bindings.js";
import { instanceOf } from "../names/instance.js";
import { isCompileTimeFunction } from "./compile-time.js";

/** Non-elementwise built-in functions that may compute row by row; `fits` checks the operations they emit. */
const ROW_FUNCTIONS: ReadonlySet<string> = new Set([
  "transpose",
  "concat",
  "softmax",
  "sum",
  "mean",
  "var",
  "min",
  "max",
  "stop_gradient",
  "zeros",
]);

/**
 * Whether the function has no effects except for its result: no losses, observations, updates or random values, and no
 * new axes. Forms that are not listed count as effects.
 */
export function isWithoutEffects(instance: Instance, fn: Fn, within: ReadonlySet<Fn> = new Set()): boolean {
  if (within.has(fn)) return false;
  const calling = new Set([...within, fn]);
  const called = (callee: Expr): boolean => {
    if (callee.kind !== "name") return false;
    const binding = instance.bodyNames.get(callee.name) ?? instance.params.get(callee.name);
    if (binding?.kind === "function") return isWithoutEffects(binding.instance, binding.fn, calling);
    if (binding?.kind === "value" && binding.value.kind === "instance") {
      const member = instanceOf(binding.value.instance);
      const forward = member.bodyNames.get("forward");
      return forward?.kind === "function" && isWithoutEffects(member, forward.fn, calling);
    }
    return (
      !binding && (elementwise.has(callee.name) || ROW_FUNCTIONS.has(callee.name) || isCompileTimeFunction(callee.name))
    );
  };
  const pure = (expr: Expr): boolean => {
    switch (expr.kind) {
      case "number":
      case "string":
      case "bool":
      case "none":
      case "name":
        return true;
      case "unary":
        return pure(expr.operand);
      case "binary":
        return pure(expr.left) && pure(expr.right);
      case "if":
        return pure(expr.condition) && pure(expr.then) && pure(expr.else);
      case "list":
        return expr.items.every(pure);
      case "call":
        return called(expr.callee) && expr.args.every((arg) => pure(arg.value));
      default:
        return false;
    }
  };
  const still = (stmt: Stmt): boolean => {
    switch (stmt.kind) {
      case "assign":
      case "expr":
        return pure(stmt.value);
      case "if":
        return pure(stmt.condition) && stmt.then.every(still) && stmt.else.every(still);
      default:
        return false;
    }
  };
  return fn.body.every(still);
}

/** The role of a value in a call for all experts. */
type Role =
  /** A row for each sorted entry: [B, K, …]. */
  | "rows"
  /** The weight of each row's expert, unchanged or as a transposed matrix. */
  | "weight"
  | "matrix"
  /** The same for all rows, without batch and tokens. */
  | "same"
  | "other";

/**
 * Whether the value has a row for each sorted entry of the choice, each computed only from its entry, weights and
 * constants. A value older than the choice does not depend on the choice's entries.
 */
export function isRowByRow(value: Value, choice: Value): boolean {
  const roles = new Map<Value, Role>();
  const roleOf = (v: Value): Role => {
    let role = roles.get(v);
    if (role === undefined) roles.set(v, (role = v.id <= choice.id ? outer(v) : newRole(v, v.inputs.map(roleOf))));
    return role;
  };
  return roleOf(value) === "rows";
}

const OUTER: ReadonlySet<Role> = new Set(["same", "other"]);

function newRole(value: Value, inputs: readonly Role[]): Role {
  if (value.op === "sort_rows" || value.op === "sort_entries") return "rows";
  if (value.op === "expert_weight") return "weight";
  if (inputs.every((role) => OUTER.has(role))) return outer(value);
  return fits(value, inputs) ? (inputs[0] === "weight" && value.op === "permute" ? "matrix" : "rows") : "other";
}

const outer = ({ type }: Value): Role => (type.shape.every((size) => typeof size === "number") ? "same" : "other");

/** Whether an operation with rows or expert weights among its inputs computes row by row. */
function fits(value: Value, inputs: readonly Role[]): boolean {
  const [first, second] = inputs;
  const rank = value.type.shape.length;
  switch (value.op) {
    case "permute":
      return first === "weight" && rank === 2;
    case "pointwise":
    case "powi":
    case "cast":
    case "stop_gradient":
      return (
        inputs.includes("rows") &&
        value.inputs.every((input, i) => {
          const inputRank = input.type.shape.length;
          return inputs[i] === "rows" ? inputRank === rank : isOperand(inputs[i]!) && inputRank <= rank - 2;
        })
      );
    case "matmul":
      return (
        first === "rows" &&
        rank === 3 &&
        value.inputs[1]!.type.shape.length === 2 &&
        (second === "weight" || second === "matrix" || second === "same")
      );
    case "reduce":
      return first === "rows" && attrsOf<"reduce">(value).axes.every((axis) => axis >= 2);
    case "softmax":
      return first === "rows" && attrsOf<"softmax">(value).axis >= 2;
    case "concat":
      return inputs.every((role) => role === "rows") && attrsOf<"concat">(value).axis >= 2;
    case "slice":
      return first === "rows" && attrsOf<"slice">(value).axis >= 2;
    case "reshape":
      return first === "rows" && equalShapes(value.type.shape.slice(0, 2), value.inputs[0]!.type.shape.slice(0, 2));
    default:
      return false;
  }
}

const isOperand = (role: Role): boolean => role === "weight" || role === "same";

/** Cast: the operator has just been compared. */
const attrsOf = <K extends Value["op"]>(value: Value): Value<K>["attrs"] => value.attrs as Value<K>["attrs"];
