// Reads the arguments of built-in functions: each reader returns null after reporting an argument that does not fit.
import type { Span } from "../../diagnostics/span.js";
import { isFloat, type DType } from "../../../ground/base/dtype.js";
import { compare, isInteger, printRational, toNumber, ZERO, type Rational } from "../../../ground/numerics/rational.js";
import { isWhole, type Size } from "../../../ground/size/size.js";
import type { ConstValue, Emitter, Argument } from "../model/context.js";
import { hintFor } from "../tensors/convert.js";
import type { Route, Value } from "../model/model.js";
import { describe, printType, showSize } from "../model/values.js";

export type Args = ReadonlyMap<string, Argument>;

const NOWHERE: Span = { file: "", start: 0, end: 0 };

/** A required argument, which the caller of the builtin has checked to exist. */
export function requiredArg(args: Args, name: string): Argument {
  return args.get(name) ?? { value: { kind: "none" }, span: NOWHERE };
}

/** An argument that must be a tensor. */
export function tensorArg(emitter: Emitter, args: Args, fn: string, name: string): Value | null {
  const { value, span } = requiredArg(args, name);
  if (value.kind === "tensor") return value.value;
  wrong(emitter, fn, name, "a tensor", value, span);
  return null;
}

/** A tensor of f32 or f16. */
export function floatArg(emitter: Emitter, args: Args, fn: string, name: string): Value | null {
  const value = tensorArg(emitter, args, fn, name);
  return value && requireDtype(emitter, value, ["f32", "f16"], fn, name, requiredArg(args, name).span) ? value : null;
}

/** Remedies for an argument that is not a number of the right type but has another meaning. */
const MEANT: Readonly<Record<string, (found: DType) => string>> = {
  mask: (found) =>
    isFloat(found)
      ? "numbers that are added to scores are a `bias`; a mask says yes or no: `x > 0.0`"
      : "compare queries with keys: `doc[:, :, None] == doc[:, None, :]`",
  bias: (found) =>
    found === "bool" ? "a choice of pairs is a `mask`; a bias is added to scores" : "cast it first: `f32(x)`",
  fresh: () => "say at which tokens it begins: `fresh: tokens == separator`, or `doc != earlier(doc, 1)`",
};

/** Checks the dtype of the argument `name`; null: the only argument, which needs no name. */
export function requireDtype(
  emitter: Emitter,
  value: Value,
  needs: readonly DType[],
  fn: string,
  name: string | null,
  span: Span,
): boolean {
  const { dtype } = value.type;
  if (needs.includes(dtype)) return true;
  const meant = fn === "those" || name === null ? undefined : MEANT[name];
  const hint = meant
    ? meant(dtype)
    : needs[0] === "bool"
      ? "compare it with a number: `x > 0`"
      : needs.every(isFloat)
        ? `cast it first: \`${needs[0] ?? "f32"}(x)\``
        : needs.includes("u32")
          ? "cast it first: `u32(x)`"
          : null;
  const what = name === null ? `\`${fn}\`` : `\`${name}\` of \`${fn}\``;
  emitter.report("wrong-dtype", { what, needs, found: printType(value.type), hint }, span);
  return false;
}

export function routeArg(emitter: Emitter, args: Args, fn: string, name: string): Route | null {
  const { value, span } = requiredArg(args, name);
  if (value.kind === "route") return value.value;
  wrong(emitter, fn, name, "a route or a choice, the value of `top`, `above` or `those`", value, span);
  return null;
}

/** A compile-time number; `otherwise` is its default. */
export function rationalArg(
  emitter: Emitter,
  args: Args,
  fn: string,
  name: string,
  otherwise: Rational | null,
): Rational | null {
  const arg = args.get(name);
  if (!arg) return otherwise;
  if (arg.value.kind === "number") return arg.value.value;
  if (arg.value.kind === "size" || arg.value.kind === "tensor")
    emitter.report("not-compile-time", { what: `\`${name}\` of \`${fn}\``, value: describe(arg.value) }, arg.span);
  else wrong(emitter, fn, name, "a number", arg.value, arg.span);
  return null;
}

export function numberArg(emitter: Emitter, args: Args, fn: string, name: string, otherwise: number): number | null {
  if (!args.has(name)) return otherwise;
  const value = rationalArg(emitter, args, fn, name, null);
  return value && toNumber(value);
}

/** A compile-time integer of at least `least`; `below` is the remedy for a smaller one. */
export function integerArg(
  emitter: Emitter,
  args: Args,
  fn: string,
  name: string,
  otherwise: number,
  least: number,
  below?: string,
): number | null {
  if (!args.has(name)) return otherwise;
  const value = rationalArg(emitter, args, fn, name, null);
  return value && wholeNumber(emitter, value, `\`${name}\` of \`${fn}\``, least, requiredArg(args, name).span, below);
}

const LARGEST = 0x7fffffff;

export function wholeNumber(
  emitter: Emitter,
  value: Rational,
  what: string,
  least: number,
  span: Span,
  below?: string,
): number | null {
  if (!isInteger(value)) {
    emitter.report("not-an-integer", { what, value: printRational(value) }, span);
    return null;
  }
  const number = toNumber(value);
  if (number >= least && number <= LARGEST) return number;
  const needs = number < least ? `at least ${least}` : `at most ${LARGEST}`;
  const hint = number < least && below !== undefined ? { hint: below } : {};
  emitter.report("argument-out-of-range", { what, needs, found: printRational(value), ...hint }, span);
  return null;
}

export function boolArg(emitter: Emitter, args: Args, fn: string, name: string, otherwise: boolean): boolean | null {
  const arg = args.get(name);
  if (!arg) return otherwise;
  if (arg.value.kind === "bool") return arg.value.value;
  wrong(emitter, fn, name, "true or false", arg.value, arg.span);
  return null;
}

export function listArg(
  emitter: Emitter,
  args: Args,
  fn: string,
  name: string,
  of: string,
): readonly ConstValue[] | null {
  const { value, span } = requiredArg(args, name);
  if (value.kind === "list") return value.items;
  wrong(emitter, fn, name, `a list of ${of}`, value, span);
  return null;
}

/** Axes of a tensor, counted from 0, ascending; null after a report. `value` is a number or a list of numbers. */
export function axesOf(
  emitter: Emitter,
  value: ConstValue,
  x: Value,
  fn: string,
  span: Span,
): readonly number[] | null {
  const items = value.kind === "list" ? value.items : [value];
  const rank = x.type.shape.length;
  const axes: number[] = [];
  for (const item of items) {
    if (item.kind !== "number") {
      wrong(emitter, fn, "axis", "a whole number or a list of them", item, span);
      return null;
    }
    if (!isInteger(item.value)) {
      emitter.report("not-an-integer", { what: `\`axis\` of \`${fn}\``, value: printRational(item.value) }, span);
      return null;
    }
    const axis = toNumber(item.value);
    const at = axis < 0 ? axis + rank : axis;
    if (at < 0 || at >= rank) {
      emitter.report("axis-out-of-range", { axis, shape: printType(x.type), rank }, span);
      return null;
    }
    if (axes.includes(at)) {
      emitter.report("repeated-axis", { axis }, span);
      return null;
    }
    axes.push(at);
  }
  return axes.sort((a, b) => a - b);
}

/** One axis of a tensor; `otherwise` is its default. */
export function axisArg(
  emitter: Emitter,
  args: Args,
  x: Value,
  fn: string,
  span: Span,
  otherwise: number | null = null,
): number | null {
  const arg = args.get("axis");
  const value: ConstValue | null =
    arg?.value ??
    (otherwise === null ? null : { kind: "number", value: { num: BigInt(otherwise), den: 1n }, form: "int" });
  if (value?.kind === "list" || value === null) {
    wrong(emitter, fn, "axis", "one axis", value ?? { kind: "none" }, arg?.span ?? span);
    return null;
  }
  return axesOf(emitter, value, x, fn, arg?.span ?? span)?.[0] ?? null;
}

export function wrong(emitter: Emitter, fn: string, name: string, needs: string, found: ConstValue, span: Span): void {
  emitter.report(
    "wrong-operand",
    { what: `\`${name}\` of \`${fn}\``, needs, found: describe(found), ...hintFor(found) },
    span,
  );
}

/** k of `top`: a whole number or size that is not negative. */
export function kArg(emitter: Emitter, { value, span }: Argument): Size | null {
  if (value.kind === "size") {
    if (isWhole(value.size)) return value.size;
    emitter.report("not-an-integer", { what: "`k` of `top`", value: showSize(value.size) }, span);
  } else if (value.kind !== "number") wrong(emitter, "top", "k", "a number or a size", value, span);
  else if (!isInteger(value.value))
    emitter.report("not-an-integer", { what: "`k` of `top`", value: printRational(value.value) }, span);
  else if (compare(value.value, ZERO) < 0) emitter.report("negative-k", { k: printRational(value.value) }, span);
  else return toNumber(value.value);
  return null;
}
