// Rows of sequences: positions, counts, packing and unpacking.
import { countOf } from "../../ground/base/collections.js";
import { DTYPES } from "../../ground/base/dtype.js";
import { typeOf } from "../ir/graph.js";
import { packedAxis, plainAxis, printShape } from "../ir/typing.js";
import { addSizes, axisSize, equalSizes, rowsSize, subtractSizes, type Size } from "../../ground/size/size.js";
import type { InferContext, OpTable, Tensor } from "./define.js";
import { lastDim } from "./rows.js";
import {
  bytesOf,
  costPerResult,
  expectDim,
  expectDtype,
  expectSequence,
  expectType,
  mismatch,
  replaceDim,
  rowsType,
  startsShape,
} from "./shapes.js";
import { at, roundingOf, tensor } from "./tensors.js";

type Sequences = "positions" | "segments" | "append" | "counts" | "last" | "unpack" | "pack" | "mask";

/** Records of the operators on sequences. */
export const sequences: Pick<OpTable, Sequences> = {
  positions: {
    doc: "0 … n − 1 for each sequence",
    infer: (inputs, { axis }, context) => rowsOf(inputs, axis, context),
    cost: costPerResult(0),
    evaluate: (inputs) => [ofEachRow(at(inputs, 0).data, (_, i) => i)],
    starts: ({ attrs }) => [[attrs.axis, 0]],
    rows: null,
    tokens: "earlier",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  segments: {
    doc: "the sequence of each row",
    infer: (inputs, { axis }, context) => rowsOf(inputs, axis, context),
    cost: costPerResult(0),
    evaluate: (inputs) => [ofEachRow(at(inputs, 0).data, (b) => b)],
    starts: ({ attrs }) => [[attrs.axis, 0]],
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  append: {
    doc:
      "the place of each row behind those that its sequence had before; with the starts of a longer axis, its row " +
      "there",
    infer(inputs, { axis }, context) {
      expectSequence(context, axis);
      expectType(inputs, 0, "u32", [context.batch]);
      expectType(inputs, 1, "u32", startsShape(context));
      if (inputs.length === 3) expectType(inputs, 2, "u32", startsShape(context));
      return [rowsType(axis)];
    },
    cost: costPerResult(0),
    evaluate(inputs) {
      const [counts, longer] = [at(inputs, 0).data, inputs.length === 3 ? at(inputs, 2).data : null];
      return [ofEachRow(at(inputs, 1).data, (b, i) => (longer?.[b] ?? 0) + counts[b]! + i)];
    },
    rows: null,
    tokens: "earlier",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  counts: {
    doc: "the number of rows of each sequence",
    infer(inputs, _attrs, context) {
      const starts = expectType(inputs, 0, "u32", startsShape(context));
      return [{ dtype: "u32", shape: [subtractSizes(starts.shape[0]!, 1)] }];
    },
    cost: costPerResult(0),
    evaluate(inputs) {
      const starts = at(inputs, 0).data;
      const counts = starts.slice(1).map((end, b) => end - starts[b]!);
      return [tensor("u32", [counts.length], counts)];
    },
    rows: null,
    tokens: "all",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  last: {
    doc:
      "the last row of each sequence, along an axis that has one row for each; of a sequence without rows the last " +
      "before, or the first of all",
    infer: (inputs, { axis }, context) => rowsOf(inputs, axis, context),
    cost: costPerResult(0),
    evaluate(inputs) {
      const rows = at(inputs, 0).data.slice(1);
      return [
        tensor(
          "u32",
          [rows.length],
          rows.map((end) => Math.max(end, 1) - 1),
        ),
      ];
    },
    rows: null,
    tokens: "all",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  unpack: {
    doc: "sequences side by side: the batch in front, the packed dimension padded with zeros to the longest",
    infer(inputs, { dim, axis }, context) {
      const x = expectDtype(inputs, 0, ...DTYPES);
      expectSequence(context, axis);
      if (packedAxis(expectDim(x.shape, dim)) !== axis)
        mismatch(`dimension ${dim} of ${printShape(x.shape)} must be rows(${axis})`);
      expectType(inputs, 1, "u32", startsShape(context));
      return [{ dtype: x.dtype, shape: [context.batch, ...replaceDim(x.shape, dim, axisSize(axis))] }];
    },
    cost: (inputs, _attrs, results) => ({ flops: 0, bytes: addSizes(bytesOf(inputs), bytesOf(results)) }),
    evaluate(inputs, { dim, axis }, context) {
      const [x, starts] = [at(inputs, 0), at(inputs, 1).data];
      const longest = context.sizes.sequence(axis).longest;
      const out = tensor(x.dtype, [starts.length - 1, ...x.shape.map((s, d) => (d === dim ? longest : s))]);
      copyRows(starts, x.shape, dim, longest, (packed, padded, width) =>
        out.data.set(x.data.subarray(packed, packed + width), padded),
      );
      return [out];
    },
    starts: ({ attrs }) => [[attrs.axis, 1]],
    rows: null,
    tokens: "own",
    columns: (node) => (node.attrs.dim === lastDim(node) ? null : "kept"),
    grad: (emit, { inputs: [, starts], attrs }, [dy]) => [emit("pack", [dy!, starts], attrs), null],
    lower: { kind: "kernel" },
  },
  pack: {
    doc: "packed rows of sequences that stand side by side: the inverse of unpack",
    infer(inputs, { dim, axis }, context) {
      const x = expectDtype(inputs, 0, ...DTYPES);
      expectSequence(context, axis);
      if (!isBatch(x.shape[0], context) || !equalSizes(expectDim(x.shape, dim + 1), axisSize(axis)))
        mismatch(
          `dimension 0 must be the batch and dimension ${dim + 1} the axis ${axis}, found ${printShape(x.shape)}`,
        );
      expectType(inputs, 1, "u32", startsShape(context));
      return [{ dtype: x.dtype, shape: replaceDim(x.shape.slice(1), dim, rowsSize(axis)) }];
    },
    cost: (inputs, _attrs, results) => ({ flops: 0, bytes: addSizes(bytesOf(inputs), bytesOf(results)) }),
    evaluate(inputs, { dim }) {
      const [x, starts] = [at(inputs, 0), at(inputs, 1).data];
      const longest = x.shape[dim + 1]!;
      const out = tensor(
        x.dtype,
        x.shape.slice(1).map((s, d) => (d === dim ? starts.at(-1)! : s)),
      );
      copyRows(starts, out.shape, dim, longest, (packed, padded, width) =>
        out.data.set(x.data.subarray(padded, padded + width), packed),
      );
      return [out];
    },
    starts: ({ attrs }) => [[attrs.axis, 1]],
    rows: null,
    tokens: "own",
    columns: (node) => (node.attrs.dim === typeOf(node).shape.length - 1 ? null : "kept"),
    grad: (emit, { inputs: [, starts], attrs }, [dy]) => [emit("unpack", [dy!, starts], attrs), null],
    lower: { kind: "kernel" },
  },
  mask: {
    doc: "the same with `fill` beyond the end of each sequence",
    infer(inputs, { dim }, context) {
      const x = expectDtype(inputs, 0, ...DTYPES);
      const axis = plainAxis(expectDim(x.shape, dim));
      if (!isBatch(x.shape[0], context) || dim === 0 || axis === null)
        return mismatch(`dimension 0 must be the batch and dimension ${dim} an axis, found ${printShape(x.shape)}`);
      expectSequence(context, axis);
      expectType(inputs, 1, "u32", startsShape(context));
      return [x];
    },
    cost: costPerResult(0),
    evaluate(inputs, { dim, fill }) {
      const [x, starts] = [at(inputs, 0), at(inputs, 1).data];
      const n = x.shape[dim]!;
      const inner = countOf(x.shape.slice(dim + 1));
      const perSequence = countOf(x.shape.slice(1));
      const beyond = roundingOf(x.dtype)?.(fill) ?? fill;
      const data = x.data.map((v, i) => {
        const b = Math.floor(i / perSequence);
        return Math.floor(i / inner) % n < starts[b + 1]! - starts[b]! ? v : beyond;
      });
      return [tensor(x.dtype, x.shape, data)];
    },
    rows: null,
    tokens: "own",
    columns: (node) => (node.attrs.dim === lastDim(node) ? null : "kept"),
    grad: (emit, { inputs: [, starts], attrs }, [dy]) => [emit("mask", [dy!, starts], { ...attrs, fill: 0 }), null],
    lower: { kind: "kernel" },
  },
};

function rowsOf(inputs: Parameters<OpTable["positions"]["infer"]>[0], axis: string, context: InferContext) {
  expectSequence(context, axis);
  expectType(inputs, 0, "u32", startsShape(context));
  return [rowsType(axis)];
}

const isBatch = (size: Size | undefined, context: InferContext): boolean =>
  size !== undefined && equalSizes(size, context.batch);

/** A number for each row: `value` of its sequence and its position in the sequence. */
export function ofEachRow(starts: Tensor["data"], value: (sequence: number, position: number) => number): Tensor {
  const out = tensor("u32", [starts.at(-1)!]);
  for (let b = 0; b + 1 < starts.length; b++)
    for (let row = starts[b]!; row < starts[b + 1]!; row++) out.data[row] = value(b, row - starts[b]!);
  return out;
}

/**
 * Visits the contiguous elements of each row of a packed tensor, with their offset in it and in the unpacked tensor
 * (batch first, `longest` rows for each sequence).
 */
export function copyRows(
  starts: ArrayLike<number>,
  packedShape: readonly number[],
  dim: number,
  longest: number,
  copy: (packed: number, padded: number, width: number) => void,
): void {
  const outer = countOf(packedShape.slice(0, dim));
  const rows = packedShape[dim]!;
  const width = countOf(packedShape.slice(dim + 1));
  for (let b = 0; b + 1 < starts.length; b++)
    for (let o = 0; o < outer; o++)
      for (let row = starts[b]!; row < starts[b + 1]!; row++)
        copy((o * rows + row) * width, ((b * outer + o) * longest + row - starts[b]!) * width, width);
}
