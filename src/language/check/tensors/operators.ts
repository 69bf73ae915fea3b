// Evaluates operators on tensors: arithmetic, comparison, logic and products, also with numbers, sizes and live
// parameters as operands.
import type { Span } from "../../diagnostics/span.js";
import { isFloat, type DType } from "../../../ground/base/dtype.js";
import { isInteger, toNumber } from "../../../ground/numerics/rational.js";
import type { BinaryOp } from "../../syntax/ast.js";
import { broadcastTypes } from "./broadcast.js";
import { ERROR, type ConstValue, type Emitter } from "../model/context.js";
import { hintFor, numberValue, toValue } from "./convert.js";
import type { PointwiseName, Value, EntryChoice, Route } from "../model/model.js";
import { product } from "./product.js";
import { typeOf } from "../model/types.js";
import { describe, printType } from "../model/values.js";
import { countOf, maskOf } from "./entries.js";
import { nearest } from "../../../ground/numerics/nearest.js";

export { applyIndex } from "./indexing.js";

const ARITHMETIC: ReadonlyMap<BinaryOp, PointwiseName> = new Map([
  ["+", "add"],
  ["-", "sub"],
  ["*", "mul"],
  ["/", "div"],
  ["^", "pow"],
]);
const COMPARISON: ReadonlyMap<BinaryOp, PointwiseName> = new Map([
  ["==", "eq"],
  ["!=", "ne"],
  ["<", "lt"],
  ["<=", "le"],
  [">", "gt"],
  [">=", "ge"],
]);
const LOGIC: ReadonlyMap<BinaryOp, PointwiseName> = new Map([
  ["and", "and"],
  ["or", "or"],
]);

/** Evaluates `left op right` if at least one side is a tensor or a route. Errors are reported at the operator. */
export function applyBinary(
  emitter: Emitter,
  op: BinaryOp,
  left: ConstValue,
  right: ConstValue,
  span: Span,
  opSpan: Span,
): ConstValue {
  if (left.kind === "error" || right.kind === "error") return ERROR;
  const what = `\`${op}\``;
  for (const side of [left, right])
    if (side.kind === "route" || side.kind === "choice") {
      emitter.report("unsupported-operator", { op, found: describe(side), hint: hintFor(side).hint ?? null }, opSpan);
      return ERROR;
    }
  if (op === "@") return product(emitter, left, right, span, opSpan);
  if (op === "%") {
    const tensor = left.kind === "tensor" ? left : right;
    emitter.report(
      "unsupported-operator",
      { op, found: describe(tensor), hint: "the remainder is for compile-time numbers only" },
      opSpan,
    );
    return ERROR;
  }
  if (op === "^" && right.kind === "number" && isInteger(right.value))
    return integerPower(emitter, left, right, span, opSpan);
  const operands = toOperands(emitter, what, [left, right], opSpan);
  if (!operands) return ERROR;
  const fn = ARITHMETIC.get(op) ?? COMPARISON.get(op) ?? LOGIC.get(op);
  if (fn === undefined || !accepts(emitter, op, operands.values, operands.dtype, opSpan)) return ERROR;
  return pointwise(emitter, fn, operands.values, ARITHMETIC.has(op) ? operands.dtype : "bool", what, span, opSpan);
}

/** `-x` and `not x` on a tensor. */
export function applyUnary(
  emitter: Emitter,
  op: "-" | "not",
  operand: ConstValue,
  span: Span,
  opSpan: Span = span,
): ConstValue {
  if (operand.kind === "error") return ERROR;
  if (operand.kind !== "tensor") {
    emitter.report(
      "unsupported-operator",
      { op, found: describe(operand), hint: hintFor(operand).hint ?? null },
      opSpan,
    );
    return ERROR;
  }
  const { type } = operand.value;
  const fits = op === "not" ? type.dtype === "bool" : type.dtype !== "bool" && type.dtype !== "u32";
  if (!fits) {
    const needs = op === "not" ? ["bool"] : ["f32", "f16", "i32"];
    const hint =
      op === "not"
        ? "compare it with a number: `x == 0`"
        : type.dtype === "bool"
          ? "negate a truth value with `not`"
          : "cast it first: `i32(x)`";
    emitter.report("wrong-dtype", { what: `\`${op}\``, needs, found: printType(type), hint }, opSpan);
    return ERROR;
  }
  return {
    kind: "tensor",
    value: emitter.emit("pointwise", [operand.value], { fn: op === "not" ? "not" : "neg" }, type, span),
  };
}

export interface Operands {
  readonly values: readonly Value[];
  readonly dtype: DType;
}

/**
 * Converts operands to values with one dtype: the tensors' dtype, or f32 if there are no tensors. `spans` has the span
 * of each operand, if known.
 */
export function toOperands(
  emitter: Emitter,
  what: string,
  operands: readonly ConstValue[],
  span: Span,
  spans: readonly Span[] = [],
): Operands | null {
  const tensors = operands.flatMap((o) => (o.kind === "tensor" ? [o.value] : []));
  const [first] = tensors;
  const dtype = first?.type.dtype ?? "f32";
  const other = tensors.find((t) => t.type.dtype !== dtype);
  if (first && other) {
    const cast = isFloat(dtype)
      ? isFloat(other.type.dtype)
        ? "f32"
        : dtype
      : isFloat(other.type.dtype)
        ? other.type.dtype
        : "i32";
    emitter.report("dtype-mismatch", { what, left: printType(first.type), right: printType(other.type), cast }, span);
    return null;
  }
  const beside =
    tensors.reduce<Value | null>((a, t) => (a === null || t.type.shape.length > a.type.shape.length ? t : a), null)
      ?.type.shape ?? [];
  const values: Value[] = [];
  for (const [i, operand] of operands.entries()) {
    const value = toValue(emitter, operand, dtype, beside, what, spans[i] ?? span);
    if (!value) return null;
    values.push(value);
  }
  return { values, dtype };
}

/** Emits an elementwise function with broadcasting. A shape mismatch is reported at `at`. */
export function pointwise(
  emitter: Emitter,
  fn: PointwiseName,
  values: readonly Value[],
  dtype: DType,
  what: string,
  span: Span,
  at: Span = span,
): ConstValue {
  const shape = broadcastTypes(emitter, what, values, at);
  return shape
    ? { kind: "tensor", value: emitter.emit("pointwise", values, { fn }, typeOf(dtype, shape), span) }
    : ERROR;
}

function accepts(emitter: Emitter, op: BinaryOp, values: readonly Value[], dtype: DType, span: Span): boolean {
  const needs = dtypesOf(op);
  if (needs.includes(dtype)) return true;
  const found = values.find((v) => v.type.dtype === dtype && v.op !== "number")?.type ?? typeOf(dtype, []);
  emitter.report(
    "wrong-dtype",
    { what: `\`${op}\``, needs, found: printType(found), hint: hintForDtype(op, dtype) },
    span,
  );
  return false;
}

function dtypesOf(op: BinaryOp): readonly DType[] {
  if (op === "/" || op === "^") return ["f32", "f16"];
  if (op === "and" || op === "or") return ["bool"];
  return op === "==" || op === "!=" ? ["f32", "f16", "u32", "i32", "bool"] : ["f32", "f16", "u32", "i32"];
}

function hintForDtype(op: BinaryOp, dtype: DType): string {
  if (op === "and" || op === "or") return "compare it first: `x > 0`";
  if (dtype === "bool") return "cast it first, `f32(mask)`, or combine masks with `and`, `or`, `not`";
  return `cast it first: \`f32(x) ${op} …\``;
}

const LARGEST_POWER = 0x7fffffff;

/** x ^ n for integer n, by multiplication, which supports negative x. For negative n the reciprocal. */
function integerPower(
  emitter: Emitter,
  left: ConstValue,
  right: Extract<ConstValue, { kind: "number" }>,
  span: Span,
  opSpan: Span,
): ConstValue {
  const operands = toOperands(emitter, "`^`", [left], opSpan);
  const [base] = operands?.values ?? [];
  if (!operands || !base || !accepts(emitter, "^", [base], operands.dtype, opSpan)) return ERROR;
  const exponent = toNumber(right.value);
  if (Math.abs(exponent) > LARGEST_POWER) {
    emitter.report(
      "number-does-not-fit",
      { number: `the exponent ${exponent}`, dtype: "i32", reason: "it is too large" },
      opSpan,
    );
    return ERROR;
  }
  const power = emitter.emit("powi", [base], { exponent: Math.abs(exponent) }, base.type, span);
  if (exponent >= 0) return { kind: "tensor", value: power };
  const one = numberValue(emitter, { num: 1n, den: 1n }, operands.dtype, span);
  return one
    ? { kind: "tensor", value: emitter.emit("pointwise", [one, power], { fn: "div" }, base.type, span) }
    : ERROR;
}

/** Evaluates `object.name` for a tensor, a route, a choice, a size or a number: routes and choices have members. */
export function applyMember(emitter: Emitter, object: ConstValue, name: string, span: Span): ConstValue {
  if (object.kind === "error") return ERROR;
  const member =
    object.kind === "route"
      ? routeMember(emitter, object.value, name, span)
      : object.kind === "choice"
        ? choiceMember(emitter, object.value, name, span)
        : null;
  if (member) return { kind: "tensor", value: member };
  emitter.report("unknown-member", { object: describe(object), name, suggestion: suggestionFor(object, name) }, span);
  return ERROR;
}

function routeMember(emitter: Emitter, route: Route, name: string, span: Span): Value | null {
  const score = route.inputs[0]?.type.shape ?? [];
  switch (name) {
    case "mask":
      return emitter.emit("mask", [route], {}, typeOf("bool", score), span);
    case "index":
      return emitter.emit("index", [route], {}, route.type, span);
    case "count":
      return emitter.emit("count", [route], {}, typeOf("u32", score.slice(0, 1)), span);
    default:
      return null;
  }
}

function choiceMember(emitter: Emitter, choice: EntryChoice, name: string, span: Span): Value | null {
  switch (name) {
    case "mask":
      return maskOf(emitter, choice, span);
    case "index":
      return emitter.emit("entry_index", [choice], {}, choice.type, span);
    case "count":
      return countOf(emitter, choice, span);
    default:
      return null;
  }
}

const MEANT: ReadonlyMap<string, string> = new Map([
  ["masks", "mask"],
  ["indices", "index"],
  ["indexes", "index"],
  ["idx", "index"],
  ["counts", "count"],
  ["length", "count"],
  ["size", "count"],
]);

function suggestionFor(object: ConstValue, name: string): string | null {
  if (object.kind === "route" || object.kind === "choice")
    return MEANT.get(name) ?? nearest(name, ["mask", "index", "count"]);
  return object.kind === "tensor" && (name === "T" || name === "mT") ? "transpose(x)" : null;
}
