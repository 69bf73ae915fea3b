// `rearrange`: split, reorder and merge dimensions by a pattern, as one reshape, one permutation and one reshape.
import type { Span } from "../../diagnostics/span.js";
import { constantOf, isWhole, multiplySizes, normal, printSize, type Size } from "../../../ground/size/size.js";
import { batchFirst } from "../tensors/broadcast.js";
import { ERROR, type ConstValue, type Emitter, type Argument, type Builtin } from "../model/context.js";
import type { Value } from "../model/model.js";
import { plainAlong } from "../tensors/entries.js";
import { axisOf, equalShapes, sameExtent, typeOf } from "../model/types.js";
import { printType } from "../model/values.js";
import { requiredArg, tensorArg, wrong, wholeNumber, type Args } from "./arguments.js";
import { namesOf, parsePattern, type Pattern, type PatternDim } from "./pattern.js";
import { definitionsOf } from "../tensors/makers.js";

export const rearrange: Builtin = {
  params: [{ name: "x" }, { name: "pattern" }],
  rest: true,
  doc:
    'rearrange(x: any[...], "before -> after", name: size, …) -> x in its new shape\n' +
    'Splits, reorders and merges dimensions: rearrange(x, "b t (h d) -> b h t d", h: heads). Parentheses on the ' +
    "left split a dimension, on the right they merge; " +
    "`1` is a dimension of size 1, `...` all dimensions not named. The batch stays first; a sequence axis is " +
    "neither split nor merged.",
  apply(emitter, args, span) {
    const x = tensorArg(emitter, args, "rearrange", "x");
    const pattern = x && readPattern(emitter, args);
    const sizes = pattern && readSizes(emitter, args, pattern);
    if (!x || !pattern || !sizes) return ERROR;
    const value = rearranged(emitter, x, pattern, sizes, textOf(args), requiredArg(args, "pattern").span, span);
    return value ? { kind: "tensor", value } : ERROR;
  },
};

function textOf(args: Args): string {
  const { value } = requiredArg(args, "pattern");
  return value.kind === "string" ? value.value : "";
}

function readPattern(emitter: Emitter, args: Args): Pattern | null {
  const { value, span } = requiredArg(args, "pattern");
  if (value.kind !== "string") {
    wrong(emitter, "rearrange", "pattern", "a string", value, span);
    return null;
  }
  const pattern = parsePattern(value.value);
  if (typeof pattern !== "string") return pattern;
  emitter.report("bad-pattern", { pattern: value.value, problem: pattern }, span);
  return null;
}

function readSizes(emitter: Emitter, args: Args, pattern: Pattern): ReadonlyMap<string, Size> | null {
  const names = new Set(namesOf(pattern.left));
  const sizes = new Map<string, Size>();
  for (const [name, arg] of args) {
    if (name === "x" || name === "pattern") continue;
    if (!names.has(name)) {
      emitter.report("bad-pattern", { pattern: textOf(args), problem: `does not name ${name}` }, arg.span);
      return null;
    }
    const size = readSize(emitter, name, arg);
    if (size === null) return null;
    sizes.set(name, size);
  }
  return sizes;
}

function readSize(emitter: Emitter, name: string, { value, span }: Argument): Size | null {
  if (value.kind === "number") return wholeNumber(emitter, value.value, `\`${name}\` of \`rearrange\``, 1, span);
  if (value.kind === "size" && isWhole(value.size)) return value.size;
  wrong(emitter, "rearrange", name, "a size", value, span);
  return null;
}

/** A dimension after splitting: named, or matched by `...`. */
interface Part {
  readonly key: string;
  readonly size: Size;
}

function rearranged(
  emitter: Emitter,
  whole: Value,
  pattern: Pattern,
  given: ReadonlyMap<string, Size>,
  text: string,
  at: Span,
  span: Span,
): Value | null {
  const problem = (reason: string, hint?: string): null => {
    emitter.report("bad-pattern", { pattern: text, problem: reason, ...(hint && { hint }) }, at);
    return null;
  };
  const hidden = whole.type.shape.length - pattern.left.filter((d) => d.kind === "group").length;
  if (hidden < 0 || (hidden > 0 && !pattern.left.some((d) => d.kind === "rest"))) {
    const named = whole.type.shape.length - hidden;
    return problem(`has ${named} dimensions on the left, but the tensor is ${printType(whole.type)}`);
  }
  const x = plainAlong(emitter, whole, cutOrMerged(pattern, hidden), "split or merged with another", at);
  if (!x) return null;
  const { shape, dtype } = x.type;
  const parts: Part[] = [];
  let dim = 0;
  for (const d of pattern.left) {
    if (d.kind === "rest") {
      for (let i = 0; i < hidden; i++) parts.push({ key: `...${i}`, size: shape[dim++] ?? 1 });
      continue;
    }
    const split = splitDim(emitter, shape[dim++] ?? 1, d.names, given, problem, at);
    if (!split) return null;
    parts.push(...split);
  }
  const order = newOrder(pattern.right, parts, hidden);
  const merged = mergeDims(emitter, pattern.right, parts, hidden, at);
  if (!merged || !batchFirst(emitter, "moving the batch away from the front", merged, at)) return null;
  return emitSteps(
    emitter,
    x,
    parts.map((p) => p.size),
    order,
    merged,
    dtype,
    span,
  );
}

/** The dimensions that the pattern splits or merges. */
function cutOrMerged(pattern: Pattern, hidden: number): readonly number[] {
  const merged = new Set(pattern.right.flatMap((d) => (d.kind === "group" && d.names.length > 1 ? d.names : [])));
  let dim = 0;
  return pattern.left.flatMap((d) => {
    const at = dim;
    dim += d.kind === "rest" ? hidden : 1;
    return d.kind === "group" && (d.names.length > 1 || d.names.some((name) => merged.has(name))) ? [at] : [];
  });
}

type Problem = (reason: string, hint?: string) => null;

/** Splits a left-side dimension into its parts, at most one without a given size. */
function splitDim(
  emitter: Emitter,
  size: Size,
  names: readonly string[],
  given: ReadonlyMap<string, Size>,
  problem: Problem,
  at: Span,
): readonly Part[] | null {
  const [only] = names;
  if (only === undefined) return size === 1 ? [] : problem(`has 1 where the tensor has ${printSize(size)}`);
  if (names.length === 1) {
    const declaredSize = given.get(only);
    return declaredSize === undefined || sameExtent(emitter, declaredSize, size)
      ? [{ key: only, size }]
      : problem(`gives ${only} as ${printSize(declaredSize)}, but it is ${printSize(size)}`);
  }
  if (!splittable(emitter, size, at)) return null;
  const open = names.filter((n) => !given.has(n));
  if (open.length > 1) return problem(`needs the size of ${open.slice(0, -1).join(", ")} or ${open.at(-1) ?? ""}`);
  const known = names.reduce<Size>((product, n) => multiplySizes(product, given.get(n) ?? 1), 1);
  if (typeof size !== "number" || typeof known !== "number")
    return problem(`splits ${printSize(size)}, whose parts are not compile-time numbers`);
  if (open.length === 0 && known !== size) return problem(`splits ${size} into parts of ${known} in all`);
  if (size % known !== 0)
    return problem(`splits ${size} by ${known}, which does not divide it`, `choose a number that divides the other`);
  return names.map((key) => ({ key, size: given.get(key) ?? size / known }));
}

function splittable(emitter: Emitter, size: Size, at: Span): boolean {
  const axis = axisOf(emitter, size);
  if (axis?.role === "batch") emitter.report("batch-axis", { what: "splitting the batch", batch: axis.name }, at);
  else if (axis?.role === "sequence") emitter.report("ragged-axis", { axis: axis.name, how: "split" }, at);
  else if (typeof size !== "number")
    emitter.report("unknown-extent", { what: "splitting an axis", size: printSize(size) }, at);
  else return true;
  return false;
}

/** For each right-side dimension before merging, the index of its part. */
function newOrder(right: readonly PatternDim[], parts: readonly Part[], hidden: number): readonly number[] {
  const indexOf = new Map(parts.map((p, i) => [p.key, i]));
  const keys = right.flatMap((d) =>
    d.kind === "group" ? d.names : Array.from({ length: hidden }, (_, i) => `...${i}`),
  );
  return keys.map((key) => indexOf.get(key) ?? 0);
}

function mergeDims(
  emitter: Emitter,
  right: readonly PatternDim[],
  parts: readonly Part[],
  hidden: number,
  at: Span,
): readonly Size[] | null {
  const sizes = new Map(parts.map((p) => [p.key, p.size]));
  const shape: Size[] = [];
  for (const d of right) {
    if (d.kind === "rest") {
      for (let i = 0; i < hidden; i++) shape.push(sizes.get(`...${i}`) ?? 1);
      continue;
    }
    const members = d.names.map((n) => sizes.get(n) ?? 1);
    if (members.length > 1) {
      const axis = members.map((m) => axisOf(emitter, m)).find((a) => a?.role === "batch" || a?.role === "sequence");
      // Reports a sequence in the group rather than the batch: "b t d -> (b t) d" is refused because its tokens are
      // ragged.
      const sequence = members.map((m) => axisOf(emitter, m)).find((a) => a?.role === "sequence");
      if (sequence) emitter.report("ragged-axis", { axis: sequence.name, how: "merged with another" }, at);
      else if (axis) emitter.report("batch-axis", { what: "merging the batch", batch: axis.name }, at);
      if (axis) return null;
    }
    const product = members.reduce<Size>(multiplySizes, 1);
    shape.push(constantOf(product) === null ? product : normal(product));
  }
  return shape;
}

function emitSteps(
  emitter: Emitter,
  x: Value,
  split: readonly Size[],
  order: readonly number[],
  merged: readonly Size[],
  dtype: Value["type"]["dtype"],
  span: Span,
): Value {
  const reshape = (value: Value, shape: readonly Size[]): Value =>
    equalShapes(value.type.shape, shape) ? value : emitter.emit("reshape", [value], {}, typeOf(dtype, shape), span);
  const apart = reshape(x, split);
  const moved = order.every((from, to) => from === to)
    ? apart
    : emitter.emit(
        "permute",
        [apart],
        { order },
        typeOf(
          dtype,
          order.map((i) => split[i] ?? 1),
        ),
        span,
      );
  return reshape(moved, merged);
}

/** `transpose(x)`: swaps the last two axes. */
export const transpose: Builtin = {
  params: [{ name: "x" }],
  doc: "transpose(x: any[..., m, n]) -> any[..., n, m]\nThe last two axes change places.",
  apply(emitter, args, span): ConstValue {
    const x = tensorArg(emitter, args, "transpose", "x");
    if (!x) return ERROR;
    const { shape, dtype } = x.type;
    const at = requiredArg(args, "x").span;
    if (shape.length < 2) {
      emitter.report(
        "wrong-rank",
        { what: "`transpose`", needs: "at least two dimensions", found: printType(x.type) },
        at,
      );
      return ERROR;
    }
    const order = shape.map((_, i) => i);
    [order[shape.length - 2], order[shape.length - 1]] = [shape.length - 1, shape.length - 2];
    const turned = order.map((i) => shape[i] ?? 1);
    if (!batchFirst(emitter, "moving the batch away from the front", turned, at)) return ERROR;
    return { kind: "tensor", value: emitter.emit("permute", [x], { order }, typeOf(dtype, turned), span) };
  },
};

export const zeros: Builtin = {
  params: [{ name: "like", named: true }],
  doc:
    "zeros(like: any[...]) -> the type of like\n+0 everywhere (false for bool), whatever `like` holds; no gradient " +
    "flows to it.",
  apply(emitter, args, span) {
    const like = tensorArg(emitter, args, "zeros", "like");
    if (!like) return ERROR;
    const axes = [...new Set(like.type.shape.flatMap((size) => definitionsOf(emitter, size)))];
    return { kind: "tensor", value: emitter.emit("zeros", axes, {}, like.type, span) };
  },
};
