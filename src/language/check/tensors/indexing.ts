// Indexing `x[…]` as Python does: integers, slices, `...`, `None`, and rows of a table by an index tensor.
import type { Span } from "../../diagnostics/span.js";
import { isInteger, printRational, toNumber } from "../../../ground/numerics/rational.js";
import {
  axisSize,
  atomsOf,
  constantOf,
  equalSizes,
  isWhole,
  printSize,
  subtractSizes,
  type Size,
} from "../../../ground/size/size.js";
import { spanOf } from "../../../ground/size/counting.js";
import type { Rule } from "../../../ground/size/count-rules.js";
import type { SequenceAxis } from "../../../ground/size/axes.js";
import { batchFirst } from "./broadcast.js";
import { ERROR, type ConstValue, type Emitter, type Argument, type EvaluatedIndex } from "../model/context.js";
import { hintFor } from "./convert.js";
import { plainAlong, routeOfEntry } from "./entries.js";
import { sharedAxis, recordDefinition } from "./makers.js";
import type { Value } from "../model/model.js";
import { axisOf, isBatch, typeOf } from "../model/types.js";
import { describe, printType, showSize } from "../model/values.js";

type At = Extract<EvaluatedIndex, { kind: "at" }>;
type Slice = Extract<EvaluatedIndex, { kind: "slice" }>;

/** `object[indices]` for a tensor or a route. */
export function applyIndex(
  emitter: Emitter,
  object: ConstValue,
  indices: readonly EvaluatedIndex[],
  span: Span,
): ConstValue {
  if (object.kind === "error" || indices.some(isErroneous)) return ERROR;
  if (object.kind === "choice") return routeOfEntry(emitter, object.value, indices, span);
  if (object.kind !== "tensor") {
    const hint = hintFor(object).hint ?? null;
    emitter.report("bad-index", { problem: `${describe(object)} cannot be indexed`, hint }, span);
    return ERROR;
  }
  const rows = indices.find((i): i is At => i.kind === "at" && i.value.kind === "tensor");
  const value = rows
    ? gather(emitter, object.value, rows, indices, span)
    : applyIndices(emitter, object.value, indices, span);
  return value ? { kind: "tensor", value } : ERROR;
}

function isErroneous(index: EvaluatedIndex): boolean {
  if (index.kind === "at") return index.value.kind === "error";
  return index.kind === "slice" && [index.start, index.stop, index.step].some((end) => end?.value.kind === "error");
}

/** table[V, …] by u32 or i32 indices. */
function gather(
  emitter: Emitter,
  table: Value,
  rows: At,
  indices: readonly EvaluatedIndex[],
  span: Span,
): Value | null {
  const index = rows.value.kind === "tensor" ? rows.value.value : null;
  if (!index) return null;
  const rest = indices
    .slice(1)
    .every((i) => i.kind === "rest" || (i.kind === "slice" && !i.start && !i.stop && !i.step));
  if (indices[0] !== rows || !rest || indices.length > table.type.shape.length) {
    emitter.report(
      "bad-index",
      {
        problem: "an index tensor reads rows along the first axis only",
        hint: "write `table[indices]`, and index the result",
      },
      rows.span,
    );
    return null;
  }
  if (index.type.dtype !== "u32" && index.type.dtype !== "i32") {
    const hint =
      index.type.dtype === "bool" ? "to choose by a mask use `where(mask, a, b)`" : "cast it first: `u32(x)`";
    emitter.report(
      "wrong-dtype",
      { what: "an index tensor", needs: ["u32", "i32"], found: printType(index.type), hint },
      rows.span,
    );
    return null;
  }
  const plain = plainAlong(emitter, table, [0], "read by an index tensor", rows.span);
  if (!plain) return null;
  const [first, ...row] = plain.type.shape;
  if (first === undefined) {
    emitter.report("too-many-indices", { count: 1, shape: printType(table.type) }, rows.span);
    return null;
  }
  if (isBatch(emitter, first)) {
    emitter.report("batch-axis", { what: "reading rows of the batch", batch: printSize(first) }, span);
    return null;
  }
  return emitter.emit("gather", [plain, index], {}, typeOf(table.type.dtype, [...index.type.shape, ...row]), span);
}

/** Applies the indices one by one from the first dimension; a final reshape drops and adds dimensions. */
function applyIndices(emitter: Emitter, x: Value, indices: readonly EvaluatedIndex[], span: Span): Value | null {
  const named = indices.filter((i) => i.kind === "at" || i.kind === "slice").length;
  const rests = indices.filter((i) => i.kind === "rest").length;
  const surplus = named - x.type.shape.length;
  if (surplus > 0 || rests > 1) {
    if (surplus > 0) emitter.report("too-many-indices", { count: surplus, shape: printType(x.type) }, span);
    else emitter.report("bad-index", { problem: "`...` stands twice", hint: null }, span);
    return null;
  }
  let value = x;
  let dim = 0;
  const shape: Size[] = [];
  for (const index of rests === 0 ? [...indices, { kind: "rest", span } as const] : indices) {
    switch (index.kind) {
      case "new-axis":
        shape.push(1);
        break;
      case "rest":
        for (let n = -surplus; n > 0; n--) shape.push(value.type.shape[dim++] ?? 1);
        break;
      case "at": {
        const next: Value | null = take(emitter, value, dim, index, span);
        if (!next) return null;
        // A token index drops its dimension; an index of a static axis leaves size 1, which the final reshape drops.
        if (next.type.shape.length === value.type.shape.length) dim++;
        value = next;
        break;
      }
      case "slice": {
        const part: Value | null = slice(emitter, value, dim, index, span);
        const next = part && index.step ? strided(emitter, part, dim, index.step, index.span, span) : part;
        if (!next) return null;
        value = next;
        shape.push(value.type.shape[dim++] ?? 1);
        break;
      }
      default:
        return index satisfies never;
    }
  }
  if (!batchFirst(emitter, "a new axis in front of the batch", shape, span)) return null;
  const same =
    shape.length === value.type.shape.length && shape.every((size, i) => equalSizes(size, value.type.shape[i] ?? -1));
  return same ? value : emitter.emit("reshape", [value], {}, typeOf(x.type.dtype, shape), span);
}

/** x[…, i, …]: a position of a static axis (keeps size 1), or a token of each sequence (drops the dimension). */
function take(emitter: Emitter, whole: Value, dim: number, index: At, span: Span): Value | null {
  const x = plainAlong(emitter, whole, [dim], "indexed", index.span);
  if (!x) return null;
  const size = x.type.shape[dim] ?? 1;
  const axis = axisOf(emitter, size);
  const at = toIntegerOrSize(emitter, index.value, "an index", index.span);
  if (at === null) return null;
  if (axis?.role === "batch") {
    emitter.report("batch-axis", { what: "an index of the batch", batch: axis.name }, index.span);
    return null;
  }
  if (axis?.role === "sequence") {
    const fromEnd = typeof at === "number" ? at : constantOf(subtractSizes(at, axisSize(axis.name)));
    if (fromEnd === null || (typeof fromEnd !== "number" && fromEnd.num >= 0n)) {
      emitter.report("size-of-other-axis", { size: printSize(at), axis: axis.name }, index.span);
      return null;
    }
    const shape = x.type.shape.filter((_, i) => i !== dim);
    return emitter.emit(
      "token",
      [x],
      { dim, index: typeof fromEnd === "number" ? fromEnd : toNumber(fromEnd) },
      typeOf(x.type.dtype, shape),
      span,
    );
  }
  if (typeof size !== "number" || typeof at !== "number") {
    emitter.report(
      "unknown-extent",
      { what: "an index", size: printSize(typeof size === "number" ? at : size) },
      index.span,
    );
    return null;
  }
  if (at >= size || at < -size) {
    emitter.report("position-out-of-range", { index: at, extent: size, shape: printType(x.type) }, index.span);
    return null;
  }
  const start = at < 0 ? at + size : at;
  return size === 1 ? x : sliceStatic(emitter, x, dim, start, start + 1, span);
}

/** x[…, a:b, …], clamped. */
function slice(emitter: Emitter, whole: Value, dim: number, index: Slice, span: Span): Value | null {
  const untouched = index.start === null && index.stop === null;
  const x = untouched ? whole : plainAlong(emitter, whole, [dim], "cut", index.span);
  if (!x) return null;
  const size = x.type.shape[dim] ?? 1;
  const start = sliceBound(emitter, index.start, 0);
  const stop = sliceBound(emitter, index.stop, null);
  if (start === undefined || stop === undefined) return null;
  // A slice of the whole axis, from 0 to the end or to the axis's own size, changes nothing.
  if ((start === 0 || start === null) && (stop === null || equalSizes(stop, size))) return x;
  const axis = axisOf(emitter, size);
  if (axis?.role === "batch") {
    emitter.report("batch-axis", { what: "a slice of the batch", batch: axis.name }, index.span);
    return null;
  }
  if (axis?.role === "sequence") return sliceTokens(emitter, x, dim, axis, start ?? 0, stop, index, span);
  const bounds = [size, start ?? 0, stop ?? size];
  const open = bounds.find((b) => typeof b !== "number");
  if (typeof size !== "number" || !isFixed(start) || !isFixed(stop)) {
    emitter.report("unknown-extent", { what: "a slice", size: printSize(open ?? size) }, index.span);
    return null;
  }
  const clamp = (n: number): number => Math.max(0, Math.min(size, n < 0 ? n + size : n));
  const [from, to] = [clamp(start ?? 0), clamp(stop ?? size)];
  if (from >= to) {
    emitter.report("empty-slice", { shape: printType(x.type) }, index.span);
    return null;
  }
  return from === 0 && to === size ? x : sliceStatic(emitter, x, dim, from, to, span);
}

/** x[…, ::n, …]: every n-th position of a static axis or token of a sequence, from the first on. */
function strided(emitter: Emitter, whole: Value, dim: number, by: Argument, at: Span, span: Span): Value | null {
  const x = plainAlong(emitter, whole, [dim], "cut", at);
  const step = toIntegerOrSize(emitter, by.value, "the step of a slice", by.span);
  if (!x || step === null) return null;
  if (typeof step !== "number") {
    emitter.report("not-compile-time", { what: "the step of a slice", value: describe(by.value) }, by.span);
    return null;
  }
  if (step < 1) {
    const data = { what: "the step of a slice", needs: "at least 1", found: String(step) };
    emitter.report("argument-out-of-range", data, by.span);
    return null;
  }
  const size = x.type.shape[dim] ?? 1;
  const axis = axisOf(emitter, size);
  if (step === 1) return x;
  if (axis?.role === "sequence") {
    const bound = axis.bound === null ? null : Math.ceil(axis.bound / step);
    const fresh = sharedAxis(emitter, axis.name, `stride ${step}`, bound, { kind: "stride", parent: axis.name, step });
    const type = typeOf(x.type.dtype, x.type.shape.with(dim, axisSize(fresh)));
    const value = emitter.emit("span", [x], { dim, axis: fresh }, type, span);
    recordDefinition(emitter, fresh, value);
    return value;
  }
  if (axis?.role === "batch") {
    emitter.report("batch-axis", { what: "a slice of the batch", batch: axis.name }, at);
    return null;
  }
  if (typeof size === "number") return everyStatic(emitter, x, dim, size, step, span);
  emitter.report("unknown-extent", { what: "a slice", size: printSize(size) }, at);
  return null;
}

/** Every step-th position: of each whole group of positions the first, then the first of the rest. */
function everyStatic(emitter: Emitter, x: Value, dim: number, size: number, step: number, span: Span): Value {
  const { dtype, shape } = x.type;
  const groups = Math.floor(size / step);
  if (groups === 0) return sliceStatic(emitter, x, dim, 0, 1, span);
  const whole = groups * step === size ? x : sliceStatic(emitter, x, dim, 0, groups * step, span);
  const apart = emitter.emit("reshape", [whole], {}, typeOf(dtype, shape.toSpliced(dim, 1, groups, step)), span);
  const first = sliceStatic(emitter, apart, dim + 1, 0, 1, span);
  const firsts = emitter.emit("reshape", [first], {}, typeOf(dtype, shape.with(dim, groups)), span);
  if (groups * step === size) return firsts;
  const last = sliceStatic(emitter, x, dim, groups * step, groups * step + 1, span);
  return emitter.emit("concat", [firsts, last], { axis: dim }, typeOf(dtype, shape.with(dim, groups + 1)), span);
}

const isFixed = (end: Size | null): end is number | null => end === null || typeof end === "number";

const sliceStatic = (emitter: Emitter, x: Value, axis: number, start: number, stop: number, span: Span): Value =>
  emitter.emit("slice", [x], { axis, start, stop }, typeOf(x.type.dtype, x.type.shape.with(axis, stop - start)), span);

function sliceTokens(
  emitter: Emitter,
  x: Value,
  dim: number,
  axis: SequenceAxis,
  start: Size,
  stop: Size | null,
  index: Slice,
  span: Span,
): Value | null {
  for (const [end, written] of [
    [start, index.start],
    [stop, index.stop],
  ] as const) {
    const other = end === null ? undefined : [...atomsOf(end)].find((a) => a.kind !== "axis" || a.axis !== axis.name);
    if (end !== null && other) {
      emitter.report("size-of-other-axis", { size: printSize(end), axis: axis.name }, written?.span ?? index.span);
      return null;
    }
  }
  const rule: Rule<"span"> = { kind: "span", parent: axis.name, start, stop };
  const bound = longestSpan(rule, axis.bound);
  if (bound === 0) {
    emitter.report("empty-slice", { shape: printType(x.type) }, index.span);
    return null;
  }
  const fresh = sharedAxis(
    emitter,
    axis.name,
    `span ${printSize(start)}:${stop === null ? "" : printSize(stop)}`,
    bound,
    rule,
  );
  const value = emitter.emit(
    "span",
    [x],
    { dim, axis: fresh },
    typeOf(x.type.dtype, x.type.shape.with(dim, axisSize(fresh))),
    span,
  );
  recordDefinition(emitter, fresh, value);
  return value;
}

const UNBOUNDED = 2 ** 31;

/**
 * The greatest length of a slice. The length is piecewise linear in the sequence's length, so the maximum is at a
 * breakpoint.
 */
function longestSpan(rule: Rule<"span">, bound: number | null): number | null {
  const { start, stop } = rule;
  if (typeof start !== "number" || !isFixed(stop)) return bound;
  const [a, b] = [Math.abs(start), Math.abs(stop ?? 0)];
  const most = bound ?? UNBOUNDED;
  const longest = Math.max(
    ...[most, a, b, a + b].map((n) => {
      const [from, to] = spanOf(rule, Math.min(n, most));
      return to - from;
    }),
  );
  return bound === null && longest > UNBOUNDED / 2 ? null : longest;
}

/** An end of a slice; `otherwise` is its default; undefined after a report. */
function sliceBound(emitter: Emitter, end: Argument | null, otherwise: number | null): Size | null | undefined {
  if (end === null || end.value.kind === "none") return otherwise;
  return toIntegerOrSize(emitter, end.value, "the end of a slice", end.span) ?? undefined;
}

/** An integer or size; null after a report. */
function toIntegerOrSize(emitter: Emitter, value: ConstValue, what: string, span: Span): Size | null {
  if (value.kind === "number") {
    if (isInteger(value.value)) return toNumber(value.value);
    emitter.report("not-an-integer", { what, value: printRational(value.value) }, span);
    return null;
  }
  if (value.kind === "size") {
    if (isWhole(value.size)) return value.size;
    emitter.report("not-an-integer", { what, value: showSize(value.size) }, span);
    return null;
  }
  emitter.report(
    "bad-index",
    {
      problem: `${describe(value)} is not an index`,
      hint: value.kind === "bool" ? null : (hintFor(value).hint ?? null),
    },
    span,
  );
  return null;
}
