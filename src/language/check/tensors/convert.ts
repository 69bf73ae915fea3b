// Converts operands to tensors: compile-time numbers, booleans, sizes and live parameters take the dtype of the other
// operand.
import type { Span } from "../../diagnostics/span.js";
import { LARGEST, type DType } from "../../../ground/base/dtype.js";
import { isInteger, toNumber, type Rational } from "../../../ground/numerics/rational.js";
import { atomsOf, axisSize, isWhole, type Atom, type Size, type SizeExpr } from "../../../ground/size/size.js";
import type { ConstValue, Emitter } from "../model/context.js";
import { definitionsOf } from "./makers.js";
import type { Value } from "../model/model.js";
import { isBatch, typeOf } from "../model/types.js";
import { describe, printNumber, showSize } from "../model/values.js";

/**
 * Converts an operand to a value of `dtype`; null after a report. `beside` is the shape of the other operand, for
 * broadcasting.
 */
export function toValue(
  emitter: Emitter,
  operand: ConstValue,
  dtype: DType,
  beside: readonly Size[],
  what: string,
  span: Span,
): Value | null {
  switch (operand.kind) {
    case "tensor":
      return operand.value;
    case "number":
      return numberValue(emitter, operand.value, dtype, span);
    case "size":
      return sizeValue(emitter, operand.size, dtype, beside, span);
    case "bool":
      if (dtype === "bool")
        return emitter.emit("number", [], { value: operand.value ? 1 : 0 }, typeOf("bool", []), span);
      emitter.report("wrong-operand", { what, needs: `${dtype} or a number`, found: describe(operand) }, span);
      return null;
    case "error":
      return null;
    default:
      emitter.report(
        "wrong-operand",
        { what, needs: "tensors and numbers", found: describe(operand), ...hintFor(operand) },
        span,
      );
      return null;
  }
}

/** Hint for an operand that should be a tensor. */
export const hintFor = (found: ConstValue): { readonly hint?: string } =>
  found.kind === "route"
    ? { hint: "use the route's members, which are tensors: `route.mask`, `route.index`, `route.count`" }
    : found.kind === "choice"
      ? { hint: "use the choice's members, which are tensors: `choice.mask`, `choice.index`, `choice.count`" }
      : found.kind === "tuple"
        ? { hint: `name one of them: \`(…).${found.names[0] ?? "output"}\`` }
        : {};

/** A compile-time number as a scalar. */
export function numberValue(emitter: Emitter, number: Rational, dtype: DType, span: Span): Value | null {
  if (!fitsDtype(emitter, number, dtype, span)) return null;
  return emitter.emit("number", [], { value: toNumber(number) }, typeOf(dtype, []), span);
}

/** Whether a dtype can hold a number; false after a report. */
export function fitsDtype(emitter: Emitter, number: Rational, dtype: DType, span: Span): boolean {
  const reason = misfitReason(number, dtype);
  if (reason === null) return true;
  const printed = printNumber({ kind: "number", value: number, form: isInteger(number) ? "int" : "float" });
  emitter.report("number-does-not-fit", { number: printed, dtype, reason }, span);
  return false;
}

function misfitReason(number: Rational, dtype: DType): string | null {
  if (dtype === "bool") return "a truth value is not a number";
  const value = toNumber(number);
  const whole = dtype === "u32" || dtype === "i32";
  if (whole && !isInteger(number)) return "it is not whole";
  if (dtype === "u32" && value < 0) return "it is negative";
  const least = dtype === "u32" ? 0 : dtype === "i32" ? -0x80000000 : -LARGEST[dtype];
  return value < least || value > LARGEST[dtype] ? "it is too large" : null;
}

/**
 * Converts a size over axes or live parameters to a value. A size that mentions a sequence axis differs between
 * sequences, so it has shape [B, 1, …, 1], to broadcast against the other operand. Any other size is a scalar.
 */
function sizeValue(emitter: Emitter, size: SizeExpr, dtype: DType, beside: readonly Size[], span: Span): Value | null {
  if (dtype === "bool" || ((dtype === "u32" || dtype === "i32") && !isWhole(size))) {
    const reason = dtype === "bool" ? "a size is a number" : "it need not be whole";
    emitter.report("number-does-not-fit", { number: `the size ${showSize(size)}`, dtype, reason }, span);
    return null;
  }
  const shape = shapeOfSize(emitter, size, beside);
  const exactDtype = dtype === "f16" ? "f32" : dtype;
  const live = soleLiveParameter(size);
  const value: Value =
    live === null
      ? emitter.emit("length", definitionsOf(emitter, size), { size }, typeOf(exactDtype, shape), span)
      : emitter.emit("live", [], { name: live }, typeOf("f32", []), span);
  return exactDtype === dtype ? value : emitter.emit("cast", [value], {}, typeOf(dtype, shape), span);
}

function shapeOfSize(emitter: Emitter, size: SizeExpr, beside: readonly Size[]): readonly Size[] {
  const perSequence = [...atomsOf(size)].some((a) => a.kind === "axis" && emitter.axis(a.axis).role === "sequence");
  if (!perSequence || emitter.batch === null) return [];
  const [first] = beside;
  const ones = first !== undefined && isBatch(emitter, first) ? beside.length - 1 : beside.length;
  return [axisSize(emitter.batch), ...Array.from({ length: ones }, () => 1)];
}

/** The live parameter if the size is exactly one, else null. */
function soleLiveParameter(size: SizeExpr): string | null {
  const [term] = size.terms;
  if (size.terms.length !== 1 || term?.coefficient.num !== 1n || term.coefficient.den !== 1n || term.atoms.length !== 1)
    return null;
  const atom: Atom | undefined = term.atoms[0]?.atom;
  return atom?.kind === "live" ? atom.name : null;
}
