// The matrix product `a @ b`, with NumPy's rules for one-dimensional operands and leading dimensions.
import type { Span } from "../../diagnostics/span.js";
import { isFloat } from "../../../ground/base/dtype.js";
import { equalSizes, printSize, type Size } from "../../../ground/size/size.js";
import { batchFirst, broadcastShapes, reportMismatch, reportSizes } from "./broadcast.js";
import { ERROR, type ConstValue, type Emitter } from "../model/context.js";
import { hintFor } from "./convert.js";
import { plainAlong } from "./entries.js";
import type { Value } from "../model/model.js";
import { isBatch, typeOf } from "../model/types.js";
import { describe, printType } from "../model/values.js";

/** a[…, M, K] @ b[…, K, N] → […, M, N]; a vector is a row on the left, a column on the right. */
export function product(emitter: Emitter, left: ConstValue, right: ConstValue, span: Span, at: Span): ConstValue {
  const whole = factor(emitter, left, at);
  const a = whole && plainAlong(emitter, whole, [whole.type.shape.length - 1], "summed over by a product", at);
  const other = a && factor(emitter, right, at);
  const depth = Math.max(0, (other?.type.shape.length ?? 0) - 2);
  const b = other && plainAlong(emitter, other, [depth], "summed over by a product", at);
  if (!a || !b) return ERROR;
  if (a.type.dtype !== b.type.dtype) {
    emitter.report(
      "dtype-mismatch",
      {
        what: "`@`",
        left: printType(a.type),
        right: printType(b.type),
        cast: isFloat(a.type.dtype) ? a.type.dtype : "f32",
      },
      at,
    );
    return ERROR;
  }
  if (!isFloat(a.type.dtype)) {
    emitter.report(
      "wrong-dtype",
      { what: "`@`", needs: ["f32", "f16"], found: printType(a.type), hint: "cast both first: `f32(x)`" },
      at,
    );
    return ERROR;
  }
  const shape = productShape(emitter, a, b, at);
  return shape ? { kind: "tensor", value: emitProduct(emitter, a, b, shape, span) } : ERROR;
}

function factor(emitter: Emitter, operand: ConstValue, at: Span): Value | null {
  if (operand.kind !== "tensor") {
    emitter.report(
      "wrong-operand",
      { what: "`@`", needs: "two tensors", found: describe(operand), ...hintFor(operand) },
      at,
    );
    return null;
  }
  if (operand.value.type.shape.length > 0) return operand.value;
  emitter.report(
    "wrong-rank",
    {
      what: "`@`",
      needs: "tensors of at least one dimension",
      found: printType(operand.value.type),
      hint: "multiply by a scalar with `*`",
    },
    at,
  );
  return null;
}

interface ProductShape {
  /** The shapes of a and b as matrices. */
  readonly a: readonly Size[];
  readonly b: readonly Size[];
  readonly matrix: readonly Size[];
  readonly result: readonly Size[];
}

function productShape(emitter: Emitter, left: Value, right: Value, at: Span): ProductShape | null {
  const a = left.type.shape.length === 1 ? [1, ...left.type.shape] : left.type.shape;
  const b = right.type.shape.length === 1 ? [...right.type.shape, 1] : right.type.shape;
  const [m, k, l, n] = [a.at(-2) ?? 1, a.at(-1) ?? 1, b.at(-2) ?? 1, b.at(-1) ?? 1];
  if (!equalSizes(k, l)) {
    reportInner(emitter, left, k, right, l, at);
    return null;
  }
  if (isBatch(emitter, k)) {
    emitter.report("batch-axis", { what: "this product", batch: printSize(k) }, at);
    return null;
  }
  const leading = broadcastShapes(emitter, a.slice(0, -2), b.slice(0, -2));
  if (!leading) {
    reportMismatch(
      emitter,
      "`@`",
      { dtype: left.type.dtype, shape: a.slice(0, -2) },
      { dtype: right.type.dtype, shape: b.slice(0, -2) },
      at,
    );
    return null;
  }
  const matrix = [...leading, m, n];
  const result = [
    ...leading,
    ...(left.type.shape.length === 1 ? [] : [m]),
    ...(right.type.shape.length === 1 ? [] : [n]),
  ];
  return batchFirst(emitter, "this product", matrix, at) ? { a, b, matrix, result } : null;
}

function reportInner(emitter: Emitter, left: Value, k: Size, right: Value, l: Size, at: Span): void {
  const transposed = right.type.shape.length > 1 && equalSizes(k, right.type.shape.at(-1) ?? -1);
  if (!transposed) return reportSizes(emitter, "`@`", left.type, k, right.type, l, at);
  const data = {
    what: "`@`",
    left: printType(left.type),
    right: printType(right.type),
    reason: `${printSize(k)} and ${printSize(l)} differ`,
  };
  emitter.report(
    "shape-mismatch",
    { ...data, hint: "the last axis on the left must equal the last but one on the right: `a @ transpose(b)`" },
    at,
  );
}

function emitProduct(emitter: Emitter, left: Value, right: Value, shape: ProductShape, span: Span): Value {
  const { dtype } = left.type;
  const as = (value: Value, to: readonly Size[]): Value =>
    value.type.shape.length === to.length ? value : emitter.emit("reshape", [value], {}, typeOf(dtype, to), span);
  return as(
    emitter.emit("matmul", [as(left, shape.a), as(right, shape.b)], {}, typeOf(dtype, shape.matrix), span),
    shape.result,
  );
}
