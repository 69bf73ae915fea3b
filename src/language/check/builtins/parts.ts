// `concat` and `split`: concatenate and split tensors along an axis.
import type { Span } from "../../diagnostics/span.js";
import { addSizes, axisSize, printSize, type Size } from "../../../ground/size/size.js";
import type { SequenceAxis } from "../../../ground/size/axes.js";
import { reportSizes } from "../tensors/broadcast.js";
import { ERROR, type Emitter, type Builtin } from "../model/context.js";
import { plainAlong } from "../tensors/entries.js";
import { sharedAxis, recordDefinition } from "../tensors/makers.js";
import type { Value } from "../model/model.js";
import { toOperands } from "../tensors/operators.js";
import { axisOf, plainSize, sameExtent, sequenceOf, typeOf } from "../model/types.js";
import { printType } from "../model/values.js";
import { axisArg, requiredArg, listArg, tensorArg, wholeNumber, wrong } from "./arguments.js";

export const concat: Builtin = {
  params: [{ name: "tensors" }, { name: "axis", named: true }],
  doc:
    "concat(tensors: [any[...]], axis:) -> any[...]\nThe tensors one after the other along an axis; their other " +
    "dimensions are equal. " +
    "Along a sequence axis the tokens of each sequence follow one another on a fresh axis, with positions from 0.",
  apply(emitter, args, span) {
    const items = listArg(emitter, args, "concat", "tensors", "tensors");
    const at = requiredArg(args, "tensors").span;
    const odd = items?.find((i) => i.kind !== "tensor");
    if (!items) return ERROR;
    if (odd || items.length === 0) {
      wrong(emitter, "concat", "tensors", "a list of tensors", odd ?? requiredArg(args, "tensors").value, at);
      return ERROR;
    }
    const operands = toOperands(emitter, "`concat`", items, at);
    const [first] = operands?.values ?? [];
    const axis = first ? axisArg(emitter, args, first, "concat", span) : null;
    if (!operands || !first || axis === null || !haveEqualShapes(emitter, operands.values, axis, at)) return ERROR;
    const value = joined(emitter, operands.values, first, axis, {
      list: at,
      axis: requiredArg(args, "axis").span,
      call: span,
    });
    return value ? { kind: "tensor", value } : ERROR;
  },
};

/** Checks that all shapes equal the first, except along the axis. */
function haveEqualShapes(emitter: Emitter, values: readonly Value[], axis: number, at: Span): boolean {
  const [first, ...others] = values;
  for (const other of others) {
    if (!first) return false;
    if (other.type.shape.length !== first.type.shape.length) {
      emitter.report(
        "shape-mismatch",
        { what: "`concat`", left: printType(first.type), right: printType(other.type), reason: "their ranks differ" },
        at,
      );
      return false;
    }
    const dim = first.type.shape.findIndex(
      (size, i) => i !== axis && !sameExtent(emitter, size, other.type.shape[i] ?? -1),
    );
    if (dim >= 0) {
      reportSizes(
        emitter,
        "`concat`",
        first.type,
        first.type.shape[dim] ?? 1,
        other.type,
        other.type.shape[dim] ?? 1,
        at,
      );
      return false;
    }
  }
  return true;
}

interface Places {
  readonly list: Span;
  readonly axis: Span;
  readonly call: Span;
}

function joined(emitter: Emitter, values: readonly Value[], first: Value, dim: number, at: Places): Value | null {
  const sizes = values.map((v) => v.type.shape[dim] ?? 1);
  const batch = sizes.map((s) => axisOf(emitter, s)).find((a) => a?.role === "batch");
  if (batch) {
    emitter.report("batch-axis", { what: "`concat` along the batch", batch: batch.name }, at.axis);
    return null;
  }
  const parts = sizes.map((s) => sequenceOf(emitter, s));
  if (parts.every((p) => p === null)) {
    const total = sizes.reduce<Size>((sum, size) => addSizes(sum, plainSize(emitter, size)), 0);
    const plain = values.map((v) => (values.length === 1 ? v : plainAlong(emitter, v, [dim], "joined", at.list)));
    if (plain.includes(null)) return null;
    return values.length === 1
      ? first
      : emitter.emit(
          "concat",
          plain.flatMap((v) => v ?? []),
          { axis: dim },
          typeOf(first.type.dtype, first.type.shape.with(dim, total)),
          at.call,
        );
  }
  const fixed = sizes.find((_, i) => parts[i] === null);
  if (fixed !== undefined) {
    const data = {
      what: "`concat`",
      left: printType(first.type),
      right: printType(values[sizes.indexOf(fixed)]?.type ?? first.type),
    };
    emitter.report(
      "shape-mismatch",
      { ...data, reason: `${printSize(fixed)} is not a sequence axis, so its tokens cannot join one` },
      at.list,
    );
    return null;
  }
  return join(
    emitter,
    values,
    first,
    dim,
    parts.flatMap((p) => p ?? []),
    at.call,
  );
}

/** Concatenates along sequence axes, onto a new axis as long as all parts together. */
function join(
  emitter: Emitter,
  values: readonly Value[],
  first: Value,
  dim: number,
  axes: readonly SequenceAxis[],
  span: Span,
): Value {
  const parts = axes.map((a) => a.name);
  const bound = axes.reduce<number | null>((sum, a) => (sum === null || a.bound === null ? null : sum + a.bound), 0);
  const axis = sharedAxis(emitter, parts[0] ?? "", `join ${parts.join(" ")}`, bound, { kind: "join", parts });
  const value = emitter.emit(
    "join",
    values,
    { dim, axis },
    typeOf(first.type.dtype, first.type.shape.with(dim, axisSize(axis))),
    span,
  );
  recordDefinition(emitter, axis, value);
  return value;
}

export const split: Builtin = {
  params: [{ name: "x" }, { name: "sizes" }, { name: "axis", named: true }],
  doc:
    "split(x: any[...], sizes: [int], axis:) -> [any[...]]\nx cut along an axis of fixed size into parts of the " +
    "given sizes, in order, as a list.",
  apply(emitter, args, span) {
    const x = tensorArg(emitter, args, "split", "x");
    const items = x && listArg(emitter, args, "split", "sizes", "whole numbers");
    const axis = items && axisArg(emitter, args, x, "split", span);
    if (!x || !items || axis === null) return ERROR;
    const at = requiredArg(args, "sizes").span;
    const sizes: number[] = [];
    for (const item of items) {
      if (item.kind !== "number") wrong(emitter, "split", "sizes", "a list of whole numbers", item, at);
      const size = item.kind === "number" ? wholeNumber(emitter, item.value, "a size of `split`", 1, at) : null;
      if (size === null) return ERROR;
      sizes.push(size);
    }
    const plain = plainAlong(emitter, x, [axis], "split", args.get("axis")?.span ?? span);
    const extent = plain && fixedExtent(emitter, plain, axis, args.get("axis")?.span ?? span);
    if (!plain || extent === null) return ERROR;
    const sum = sizes.reduce((a, b) => a + b, 0);
    if (sum !== extent) {
      emitter.report("split-sum", { sum, extent, shape: printType(x.type) }, at);
      return ERROR;
    }
    return {
      kind: "list",
      items: cutAt(emitter, plain, axis, sizes, span).map((value) => ({ kind: "tensor", value })),
      broken: false,
    };
  },
};

function cutAt(emitter: Emitter, x: Value, axis: number, sizes: readonly number[], span: Span): readonly Value[] {
  let start = 0;
  return sizes.map((size) => {
    const attrs = { axis, start, stop: (start += size) };
    return sizes.length === 1
      ? x
      : emitter.emit("slice", [x], attrs, typeOf(x.type.dtype, x.type.shape.with(axis, size)), span);
  });
}

function fixedExtent(emitter: Emitter, x: Value, axis: number, at: Span): number | null {
  const size = x.type.shape[axis] ?? 1;
  if (typeof size === "number") return size;
  const along = axisOf(emitter, size);
  if (along?.role === "batch") emitter.report("batch-axis", { what: "`split` of the batch", batch: along.name }, at);
  else if (along?.role === "sequence")
    emitter.report("ragged-axis", { axis: along.name, how: "split into parts of fixed size" }, at);
  else emitter.report("unknown-extent", { what: "`split`", size: printSize(size) }, at);
  return null;
}
