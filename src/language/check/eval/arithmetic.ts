// Operators on compile-time values and sizes. All arithmetic is exact.
import type { Span } from "../../diagnostics/span.js";
import * as q from "../../../ground/numerics/rational.js";
import type { Rational } from "../../../ground/numerics/rational.js";
import {
  addSizes,
  applySize,
  divideSizes,
  multiplySizes,
  normal,
  sizeOf,
  subtractSizes,
  type Size,
  type SizeExpr,
  type SizeFunction,
} from "../../../ground/size/size.js";
import type { BinaryOp } from "../../syntax/ast.js";
import { ERROR, type ConstValue, type ListValue } from "../model/context.js";
import { MAX_BITS, MAX_LIST, MAX_SIZE_CHARACTERS, MAX_SIZE_DEPTH } from "../model/limits.js";
import type { Checker } from "../model/checker.js";
import { bool, describe, numberOf, printNumber, sizeValue, type NumberValue, type SizeValue } from "../model/values.js";

export interface Operation {
  readonly checker: Checker;
  readonly op: BinaryOp;
  readonly left: ConstValue;
  readonly right: ConstValue;
  readonly span: Span;
  readonly opSpan: Span;
}

/**
 * Evaluates a binary operator on compile-time operands; for `and` and `or` the left side has already been handled
 * (short circuit).
 */
export function computeBinary(o: Operation): ConstValue {
  const { left, right, op } = o;
  if (left.kind === "error" || right.kind === "error") return ERROR;
  if (left.kind === "number" && right.kind === "number") return onNumbers(o, left, right);
  if (isQuantity(left) && isQuantity(right)) return onSizes(o, sizeFrom(left), sizeFrom(right));
  if (op === "==" || op === "!=") {
    const same = (left.kind === "string" && right.kind === "string") || (left.kind === "bool" && right.kind === "bool");
    if (same) return bool((left.value === right.value) === (op === "=="));
  }
  if (op === "+" && left.kind === "list" && right.kind === "list") return joinLists(o.checker, left, right, o.span);
  return wrongOperands(o);
}

function joinLists(checker: Checker, left: ListValue, right: ListValue, span: Span): ConstValue {
  const length = left.items.length + right.items.length;
  if (length > MAX_LIST) checker.abort("items in one list", MAX_LIST, span);
  checker.spend(length, span);
  return { kind: "list", items: [...left.items, ...right.items], broken: left.broken || right.broken };
}

/** Unary minus and `not` on compile-time values. */
export function computeUnary(checker: Checker, op: "-" | "not", operand: ConstValue, span: Span): ConstValue {
  if (operand.kind === "error") return ERROR;
  if (op === "not" && operand.kind === "bool") return bool(!operand.value);
  if (op === "-" && operand.kind === "number") return numberOf(q.negate(operand.value), operand.form);
  if (op === "-" && operand.kind === "size") return sizeValue(multiplySizes(-1, operand.size));
  checker.report("wrong-operands", { op, left: null, right: describe(operand) }, span);
  return ERROR;
}

export const isQuantity = (value: ConstValue): value is NumberValue | SizeValue =>
  value.kind === "number" || value.kind === "size";

/** Converts a number or size to a size, without rounding. */
export const sizeFrom = (value: NumberValue | SizeValue): Size =>
  value.kind === "size" ? value.size : normal(sizeOf(value.value));

function wrongOperands({ checker, op, left, right, opSpan }: Operation): ConstValue {
  checker.report("wrong-operands", { op, left: describe(left), right: describe(right) }, opSpan);
  return ERROR;
}

function onNumbers(o: Operation, left: NumberValue, right: NumberValue): ConstValue {
  const [a, b] = [left.value, right.value];
  o.checker.spend(workOf(a) + workOf(b), o.span);
  const form =
    left.form === "float" || right.form === "float"
      ? "float"
      : left.form === "ratio" || right.form === "ratio"
        ? "ratio"
        : "int";
  switch (o.op) {
    case "+":
      return withinLimit(o.checker, numberOf(q.add(a, b), form), o.span);
    case "-":
      return withinLimit(o.checker, numberOf(q.subtract(a, b), form), o.span);
    case "*":
      return withinLimit(o.checker, numberOf(q.multiply(a, b), form), o.span);
    case "/": {
      if (b.num === 0n) return divisionByZero(o);
      const value = q.divide(a, b);
      return withinLimit(o.checker, numberOf(value, form === "int" && !q.isInteger(value) ? "ratio" : form), o.span);
    }
    case "%":
      return b.num === 0n ? divisionByZero(o) : withinLimit(o.checker, numberOf(q.modulo(a, b), form), o.span);
    case "^":
      return power(o, a, right, form);
    case "==":
      return bool(q.equal(a, b));
    case "!=":
      return bool(!q.equal(a, b));
    case "<":
      return bool(q.compare(a, b) < 0);
    case "<=":
      return bool(q.compare(a, b) <= 0);
    case ">":
      return bool(q.compare(a, b) > 0);
    case ">=":
      return bool(q.compare(a, b) >= 0);
    case "@":
    case "and":
    case "or":
      return wrongOperands(o);
    default:
      return o.op satisfies never;
  }
}

/** The additional cost of arithmetic with long numbers: reducing fractions takes time proportional to the bits. */
function workOf({ num, den }: Rational): number {
  if (num < LONG && num > -LONG && den < LONG) return 0;
  // Counts hexadecimal digits, of four bits each, which is faster than bits.
  return num.toString(16).length + den.toString(16).length;
}

const LONG = 1n << 64n;

function divisionByZero({ checker, op, opSpan }: Operation): ConstValue {
  checker.report("division-by-zero", { op }, opSpan);
  return ERROR;
}

function power(o: Operation, base: Rational, exponent: NumberValue, form: NumberValue["form"]): ConstValue {
  if (!q.isInteger(exponent.value)) {
    o.checker.report("inexact-power", { exponent: printNumber(exponent) }, o.span);
    return ERROR;
  }
  const n = exponent.value.num;
  if (n < 0n && base.num === 0n) return divisionByZero(o);
  const magnitude = n < 0n ? -n : n;
  const bits = Math.max(bitsOf(base.num), bitsOf(base.den));
  // 0, 1 and −1 have powers of any exponent; for other numbers the bits grow in proportion to the exponent.
  if (bits > 1 && BigInt(bits - 1) * magnitude > BigInt(MAX_BITS)) return tooLarge(o.checker, o.span);
  const e = bits > 1 ? magnitude : magnitude % 2n;
  const value = { num: base.num ** e, den: base.den ** e };
  if (magnitude !== 0n && e === 0n) return numberOf(base.num === 0n ? q.ZERO : q.ONE, form);
  const result = n < 0n ? q.divide(q.ONE, value) : value;
  return withinLimit(o.checker, numberOf(result, form === "int" && !q.isInteger(result) ? "ratio" : form), o.span);
}

const bitsOf = (n: bigint): number => (n < 0n ? -n : n).toString(2).length;

/** Returns the number, or reports a number beyond MAX_BITS. */
export function withinLimit(checker: Checker, value: NumberValue, span: Span): ConstValue {
  const { num, den } = value.value;
  // A fast path: counting bits is slower than a comparison.
  if (num < LARGEST && num > -LARGEST && den < LARGEST) return value;
  return tooLarge(checker, span);
}

const LARGEST = 1n << BigInt(MAX_BITS);

function tooLarge(checker: Checker, span: Span): ConstValue {
  checker.report("number-too-large", { bits: MAX_BITS }, span);
  return ERROR;
}

function onSizes(o: Operation, a: Size, b: Size): ConstValue {
  const { checker, op, span } = o;
  switch (op) {
    case "+":
      return sizeWithinLimit(checker, addSizes(a, b), span);
    case "-":
      return sizeWithinLimit(checker, subtractSizes(a, b), span);
    case "*":
      return sizeWithinLimit(checker, multiplySizes(a, b), span);
    case "/": {
      const quotient = divideSizes(a, b);
      return quotient === null ? divisionByZero(o) : sizeWithinLimit(checker, quotient, span);
    }
    case "%":
      return b === 0 ? divisionByZero(o) : sizeWithinLimit(checker, applySize("mod", [a, b]), span);
    case "^": {
      if (typeof b !== "number" || b < 0 || b > 8 || !Number.isInteger(b)) return wrongOperands(o);
      let product: ConstValue = numberOf(q.ONE, "int");
      for (let i = 0; i < b && isQuantity(product); i++)
        product = sizeWithinLimit(checker, multiplySizes(sizeFrom(product), a), span);
      return product;
    }
    case "==":
    case "!=":
    case "<":
    case "<=":
    case ">":
    case ">=": {
      const { left, right } = o;
      checker.report(
        "not-compile-time",
        { what: "a comparison", value: describe(left.kind === "size" ? left : right) },
        span,
      );
      return ERROR;
    }
    case "@":
    case "and":
    case "or":
      return wrongOperands(o);
    default:
      return op satisfies never;
  }
}

/** Returns a size as a value; aborts the check if the size exceeds the limit. */
export function sizeWithinLimit(checker: Checker, size: Size, span: Span): ConstValue {
  if (typeof size === "number") return sizeValue(size);
  const { length } = size.key;
  if (length > MAX_SIZE_CHARACTERS || depthOf(size) > MAX_SIZE_DEPTH)
    checker.abort("characters in one size", MAX_SIZE_CHARACTERS, span);
  checker.spend(Math.ceil(length / 8), span);
  return sizeValue(size);
}

function depthOf(size: SizeExpr): number {
  let deepest = 0;
  for (const { atoms } of size.terms)
    for (const { atom } of atoms)
      if ("args" in atom) for (const a of atom.args) deepest = Math.max(deepest, 1 + depthOf(a));
  return deepest;
}

/** Evaluates `ceil floor round min max` on numbers and sizes. */
export function computeFunction(
  checker: Checker,
  fn: SizeFunction,
  args: readonly (NumberValue | SizeValue)[],
  span: Span,
): ConstValue {
  if (args.every((a) => a.kind === "number")) {
    const [first] = args;
    switch (fn) {
      case "ceil":
        return numberOf(q.ceil(first!.value), "int");
      case "floor":
        return numberOf(q.floor(first!.value), "int");
      case "round":
        return numberOf(q.round(first!.value), "int");
      case "min":
        return args.reduce((x, y) => (q.compare(y.value, x.value) < 0 ? y : x));
      case "max":
        return args.reduce((x, y) => (q.compare(y.value, x.value) > 0 ? y : x));
      default:
        break;
    }
  }
  return sizeWithinLimit(checker, applySize(fn, args.map(sizeFrom)), span);
}
