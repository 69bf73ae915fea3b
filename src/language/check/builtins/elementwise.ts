// Elementwise built-in functions: casts, unary functions, `where`.
import { FLOATS, NUMBERS, type DType } from "../../../ground/base/dtype.js";
import { ERROR, type ConstValue, type Emitter, type Argument, type Builtin } from "../model/context.js";
import { toValue } from "../tensors/convert.js";
import type { PointwiseName } from "../model/model.js";
import { pointwise, toOperands } from "../tensors/operators.js";
import { typeOf } from "../model/types.js";
import { requiredArg, requireDtype } from "./arguments.js";

const cast = (dtype: DType, meaning: string): Builtin => ({
  params: [{ name: "x" }],
  doc: `${dtype}(x: any[...]) -> ${dtype}[...]\n${meaning} A number or a size becomes a scalar.`,
  apply(emitter, args, span) {
    const { value: x, span: at } = requiredArg(args, "x");
    if (x.kind !== "tensor") {
      const value = x.kind === "bool" ? null : toValue(emitter, x, dtype, [], `\`${dtype}\``, at);
      if (x.kind === "bool")
        emitter.report(
          "wrong-operand",
          { what: `\`${dtype}\``, needs: "a tensor, a number or a size", found: String(x.value) },
          at,
        );
      return value ? { kind: "tensor", value } : ERROR;
    }
    const { type } = x.value;
    return type.dtype === dtype
      ? x
      : { kind: "tensor", value: emitter.emit("cast", [x.value], {}, typeOf(dtype, type.shape), span) };
  },
});

/** A unary function; a number becomes an f32 scalar. */
export const unary = (name: PointwiseName, meaning: string, dtypes: readonly DType[] = FLOATS): Builtin => ({
  params: [{ name: "x" }],
  doc: `${name}(x: ${dtypes === FLOATS ? "float" : "number"}[...]) -> the type of x\n${meaning}`,
  apply(emitter, args, span) {
    const x = requiredArg(args, "x");
    const operands = toOperands(emitter, `\`${name}\``, [x.value], x.span);
    const [value] = operands?.values ?? [];
    if (!value || !requireDtype(emitter, value, dtypes, name, null, x.span)) return ERROR;
    return { kind: "tensor", value: emitter.emit("pointwise", [value], { fn: name }, value.type, span) };
  },
});

const where: Builtin = {
  params: [{ name: "condition" }, { name: "a" }, { name: "b" }],
  doc:
    "where(condition: bool[...], a, b) -> the dtype of a and b\na where the condition is true, b elsewhere, " +
    "element by element; the three broadcast. A number takes the dtype of the other.",
  apply(emitter, args, span) {
    const [condition, a, b] = [requiredArg(args, "condition"), requiredArg(args, "a"), requiredArg(args, "b")];
    const mask = toValue(emitter, condition.value, "bool", [], "`condition` of `where`", condition.span);
    if (!mask || !requireDtype(emitter, mask, ["bool"], "where", "condition", condition.span)) return ERROR;
    const operands = toOperands(emitter, "`where`", [a.value, b.value], span, [a.span, b.span]);
    return operands ? pointwise(emitter, "where", [mask, ...operands.values], operands.dtype, "`where`", span) : ERROR;
  },
};

/** `min(a, b)` and `max(a, b)` with at least one tensor. */
export function smallerOrLarger(
  emitter: Emitter,
  fn: "min" | "max",
  operands: readonly [ConstValue, ConstValue],
  spans: readonly [Argument["span"], Argument["span"]],
  span: Argument["span"],
): ConstValue {
  const values = toOperands(emitter, `\`${fn}\``, operands, span, spans);
  const [first] = values?.values ?? [];
  if (!values || !first || !requireDtype(emitter, first, NUMBERS, fn, null, span)) return ERROR;
  return pointwise(emitter, fn, values.values, values.dtype, `\`${fn}\``, span);
}

export const elementwise: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  ["f32", cast("f32", "The values as 32-bit floats; true is 1.")],
  ["f16", cast("f16", "The values rounded to 16-bit floats; true is 1.")],
  ["u32", cast("u32", "The values cut towards zero to whole numbers from 0 to 2³² − 1; true is 1.")],
  ["i32", cast("i32", "The values cut towards zero to whole numbers from −2³¹ to 2³¹ − 1; true is 1.")],
  ["exp", unary("exp", "e to the power of x.")],
  ["log", unary("log", "The natural logarithm of x.")],
  ["sqrt", unary("sqrt", "The square root of x.")],
  ["rsqrt", unary("rsqrt", "1 / √x.")],
  ["abs", unary("abs", "The absolute value of x.", ["f32", "f16", "i32"])],
  ["sin", unary("sin", "The sine of x in radians.")],
  ["cos", unary("cos", "The cosine of x in radians.")],
  ["tanh", unary("tanh", "The hyperbolic tangent of x.")],
  ["sigmoid", unary("sigmoid", "1 / (1 + exp(−x)).")],
  ["softplus", unary("softplus", "log(1 + exp(x)), without overflow: −softplus(−x) is log sigmoid(x).")],
  ["relu", unary("relu", "The larger of x and 0.")],
  ["silu", unary("silu", "x · sigmoid(x).")],
  ["gelu", unary("gelu", "x · Φ(x) with the exact normal distribution Φ (Hendrycks and Gimpel 2016).")],
  ["gelu_tanh", unary("gelu_tanh", "The approximation of gelu by tanh: x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).")],
  ["floor", unary("floor", "The greatest whole number that is not above x, as a float. It has no gradient.")],
  ["where", where],
]);
