// Reductions, `softmax`, and the two meanings of `min` and `max`.
import type { Span } from "../../diagnostics/span.js";
import { FLOATS, NUMBERS, type DType } from "../../../ground/base/dtype.js";
import { printSize } from "../../../ground/size/size.js";
import { ERROR, type ConstValue, type Emitter, type Builtin, type BuiltinParam } from "../model/context.js";
import type { LogicalAttrs, Value } from "../model/model.js";
import { existing, keepsRagged } from "../tensors/ragged-entries.js";
import { isBatch, isSequence, typeOf } from "../model/types.js";
import { axesOf, axisArg, boolArg, floatArg, requiredArg, requireDtype, tensorArg, type Args } from "./arguments.js";
import { smallerOrLarger } from "./elementwise.js";

type Reduction = LogicalAttrs["reduce"]["fn"];

const AXES: readonly BuiltinParam[] = [
  { name: "axis", optional: true, named: true },
  { name: "keep", optional: true, named: true },
];

const HOW =
  "`axis` is an axis or a list of axes (default: all); `keep: true` keeps them with size 1. Along a sequence only " +
  "existing tokens count.";

const reduction = (fn: Reduction, dtypes: readonly DType[], meaning: string): Builtin => ({
  params: [{ name: "x" }, ...AXES],
  doc:
    `${fn}(x: ${dtypes === FLOATS ? "float" : "number"}[...], axis:, keep: false) -> x without the ` +
    `axes\n${meaning} ${HOW}`,
  apply: (emitter, args, span) => reduce(emitter, fn, dtypes, "x", args, span),
});

/** `max(x, axis:)` reduces; `max(a, b)` compares element by element. */
const extremum = (fn: "min" | "max", word: string): Builtin => ({
  params: [{ name: "a" }, { name: "b", optional: true }, ...AXES],
  doc:
    `${fn}(a, b) -> the ${word} of both\n${fn}(a: number[...], axis:, keep: false) -> a without the axes\n` +
    `With two arguments the ${word} of each pair of elements; they broadcast, and one may be a number. With one, ` +
    `the ${word} element along axes. ${HOW}`,
  apply(emitter, args, span) {
    const b = args.get("b");
    if (!b) return reduce(emitter, fn, NUMBERS, "a", args, span);
    for (const name of ["axis", "keep"]) {
      const extra = args.get(name);
      if (!extra) continue;
      emitter.report(
        "wrong-operand",
        { what: `\`${name}\` of \`${fn}\``, needs: "one tensor to reduce", found: "two arguments" },
        extra.span,
      );
      return ERROR;
    }
    const a = requiredArg(args, "a");
    return smallerOrLarger(emitter, fn, [a.value, b.value], [a.span, b.span], span);
  },
});

function reduce(
  emitter: Emitter,
  fn: Reduction,
  dtypes: readonly DType[],
  name: string,
  args: Args,
  span: Span,
): ConstValue {
  const x = tensorArg(emitter, args, fn, name);
  const keep = boolArg(emitter, args, fn, "keep", false);
  if (!x || keep === null || !requireDtype(emitter, x, dtypes, fn, null, requiredArg(args, name).span)) return ERROR;
  const axis = args.get("axis");
  const axes = axis ? axesOf(emitter, axis.value, x, fn, axis.span) : x.type.shape.map((_, i) => i);
  if (!axes) return ERROR;
  if (fn === "argmax" && axes.length !== 1) {
    emitter.report(
      "wrong-operand",
      { what: "`axis` of `argmax`", needs: "one axis", found: `${axes.length} axes` },
      axis?.span ?? span,
    );
    return ERROR;
  }
  if (!checkBatchReduction(emitter, fn, x, axes, axis?.span ?? span)) return ERROR;
  if (keepsRagged(emitter, x, axes, axis?.span ?? span)) return ERROR;
  // Over no axes sum, mean and maximum return x; only the variance differs.
  if (axes.length === 0 && fn !== "var") return { kind: "tensor", value: x };
  return reduced(emitter, x, fn, axes, keep, span);
}

function reduced(
  emitter: Emitter,
  x: Value,
  fn: Reduction,
  axes: readonly number[],
  keep: boolean,
  span: Span,
): ConstValue {
  const exists = existing(emitter, x, axes, "reduced", span);
  if (!exists) return ERROR;
  const shape = x.type.shape.flatMap((size, i) => (!axes.includes(i) ? [size] : keep ? [1] : []));
  return {
    kind: "tensor",
    value: emitter.emit(
      "reduce",
      [x, ...exists],
      { fn, axes, keep },
      typeOf(fn === "argmax" ? "u32" : x.type.dtype, shape),
      span,
    ),
  };
}

/** Checks that the batch is reduced only together with all tokens, or with all dimensions. */
function checkBatchReduction(emitter: Emitter, fn: Reduction, x: Value, axes: readonly number[], span: Span): boolean {
  const { shape } = x.type;
  const batch = axes.find((i) => isBatch(emitter, shape[i] ?? 1));
  if (batch === undefined) return true;
  const sequences = shape.flatMap((size, i) => (isSequence(emitter, size) ? [i] : []));
  const removesSequences =
    axes.length === shape.length || (sequences.length > 0 && sequences.every((i) => axes.includes(i)));
  if (removesSequences && fn !== "argmax") return true;
  emitter.report(
    "batch-axis",
    { what: `\`${fn}\` over the batch alone`, batch: printSize(shape[batch] ?? 1), reduces: true },
    span,
  );
  return false;
}

const softmax: Builtin = {
  params: [{ name: "x" }, { name: "axis", optional: true, named: true }],
  doc:
    "softmax(x: float[...], axis: -1) -> the type of x\nexp(x) / Σ exp(x) along one axis, computed without " +
    "overflow. Along a sequence only existing tokens count.",
  apply(emitter, args, span) {
    const x = floatArg(emitter, args, "softmax", "x");
    const axis = x && axisArg(emitter, args, x, "softmax", span, -1);
    if (!x || axis === null) return ERROR;
    const size = x.type.shape[axis] ?? 1;
    if (isBatch(emitter, size)) {
      emitter.report(
        "batch-axis",
        { what: "`softmax` over the batch", batch: printSize(size) },
        args.get("axis")?.span ?? span,
      );
      return ERROR;
    }
    if (keepsRagged(emitter, x, [axis], args.get("axis")?.span ?? span)) return ERROR;
    const exists = existing(emitter, x, [axis], "reduced", span);
    return exists ? { kind: "tensor", value: emitter.emit("softmax", [x, ...exists], { axis }, x.type, span) } : ERROR;
  },
};

export const reductions: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  ["sum", reduction("sum", NUMBERS, "The sum of the elements.")],
  ["mean", reduction("mean", FLOATS, "The mean of the elements; that of none is 0.")],
  ["max", extremum("max", "larger")],
  ["min", extremum("min", "smaller")],
  ["var", reduction("var", FLOATS, "The mean squared distance from the mean: divided by n, not n − 1.")],
  [
    "argmax",
    reduction("argmax", NUMBERS, "The index, u32, of the largest element along one axis: the first of equals."),
  ],
  ["softmax", softmax],
]);
