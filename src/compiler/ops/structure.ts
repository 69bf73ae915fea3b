// Operators that move, select or order values without computing new ones.
import { typeOf, type Node } from "../ir/graph.js";
import type { TensorType } from "../ir/types.js";
import { equalShapes, packedAxis, printShape, rowsOf } from "../ir/typing.js";
import { addSizes, equalSizes, multiplySizes, type Size } from "../../ground/size/size.js";
import type { OpTable } from "./define.js";
import { reshaped, unbroadcast } from "./algebra.js";
import { aligned, sameDim, lastDim, tokensAlong } from "./rows.js";
import {
  broadcastShapes,
  bytesOf,
  costPerResult,
  elements,
  expectDtype,
  expectUnpacked,
  mismatch,
  noCost,
  replaceDim,
  sameDtype,
} from "./shapes.js";
import { around, at, broadcastOffsets, partAlong, shapeOf, stridesOf, tensor, walk } from "./tensors.js";

type Structure =
  | "pick"
  | "reshape"
  | "permute"
  | "broadcast"
  | "slice"
  | "concat"
  | "stop_gradient"
  | "straight"
  | "barrier";

const only = (inputs: readonly TensorType[]): TensorType => {
  return inputs[0]!;
};

/** Records of the structural family. */
export const structure: Pick<OpTable, Structure> = {
  pick: {
    doc: "one result of an operator that has several; its inputs are all those results",
    infer: (inputs, { result }) => [inputs[result] ?? mismatch(`there is no result ${result} of ${inputs.length}`)],
    cost: noCost,
    evaluate: (inputs, { result }) => [at(inputs, result)],
    rows: null,
    tokens: "own",
    columns: null,
    // The walk in `gradients` adds dy to the picked result.
    grad: (_emit, _node, [dy]) => [dy!],
    lower: { kind: "pick" },
  },
  reshape: {
    doc: "the same elements in the same order in another shape; packed dimensions survive",
    infer(inputs, { shape }) {
      const x = only(inputs);
      checkReshape(x.shape, shape);
      return [{ dtype: x.dtype, shape }];
    },
    cost: noCost,
    linear: () => true,
    rows(node, dim) {
      const packedDim = samePacked(typeOf(node).shape, dim, typeOf(node.inputs[0]).shape);
      return packedDim === null ? null : [packedDim];
    },
    tokens: "own",
    columns: "kept",
    grad: (emit, { inputs: [x] }, [dy]) => [reshaped(emit, dy!, typeOf(x).shape)],
    evaluate: (inputs, { shape }, context) => [
      tensor(at(inputs, 0).dtype, shapeOf(shape, context), at(inputs, 0).data),
    ],
    lower: { kind: "same" },
  },
  permute: {
    doc: "dimension i of the result is dimension order[i] of the input",
    infer(inputs, { order }) {
      const x = only(inputs);
      if (order.length !== x.shape.length || [...order].sort((a, b) => a - b).some((d, i) => d !== i))
        mismatch(`order [${order.join(", ")}] is no permutation of the dimensions of ${printShape(x.shape)}`);
      return [{ dtype: x.dtype, shape: order.map((d) => x.shape[d]!) }];
    },
    cost: costPerResult(0),
    evaluate(inputs, { order }) {
      const x = at(inputs, 0);
      const strides = stridesOf(x.shape);
      const out = tensor(
        x.dtype,
        order.map((d) => x.shape[d]!),
      );
      walk(
        out.shape,
        order.map((d) => strides[d]!),
        (i, offset) => {
          out.data[i] = x.data[offset]!;
        },
      );
      return [out];
    },
    linear: () => true,
    rows: ({ attrs }, dim) => [attrs.order[dim]!],
    tokens: "own",
    columns: (node) => (node.attrs.order.at(-1) === lastDim(node) ? "kept" : null),
    grad: (emit, { attrs: { order } }, [dy]) => [
      emit("permute", [dy!], { order: order.map((_, d) => order.indexOf(d)) }),
    ],
    lower: { kind: "moved" },
  },
  broadcast: {
    doc: "repeated along new dimensions and those of size 1, as NumPy broadcasts",
    infer(inputs, { shape }) {
      const x = only(inputs);
      if (!equalShapes(broadcastShapes([x.shape, shape]), shape))
        mismatch(`${printShape(x.shape)} does not broadcast to ${printShape(shape)}`);
      return [{ dtype: x.dtype, shape }];
    },
    cost: costPerResult(0),
    evaluate(inputs, { shape }, context) {
      const x = at(inputs, 0);
      const to = shapeOf(shape, context);
      const offsets = broadcastOffsets(x.shape, to);
      return [tensor(x.dtype, to, offsets ? Float64Array.from(offsets, (o) => x.data[o]!) : x.data)];
    },
    linear: () => true,
    rows: aligned,
    tokens: "own",
    columns: "kept",
    grad: (emit, { inputs: [x] }, [dy]) => [unbroadcast(emit, dy!, typeOf(x))],
    lower: { kind: "moved" },
  },
  slice: {
    doc: "elements start … stop − 1 along a dimension that is not packed",
    infer(inputs, { axis, start, stop }) {
      const x = only(inputs);
      const size = expectUnpacked(x.shape, axis);
      if (typeof size !== "number")
        mismatch(`dimension ${axis} of ${printShape(x.shape)} must be known at compile time to be sliced`);
      if (!(start >= 0 && start < stop && stop <= Number(size)))
        mismatch(`slice ${start}:${stop} does not lie within dimension ${axis} of ${printShape(x.shape)}`);
      return [{ dtype: x.dtype, shape: replaceDim(x.shape, axis, stop - start) }];
    },
    cost: (_inputs, attrs, results) => costPerResult(0)(results, attrs, results),
    evaluate: (inputs, { axis, start, stop }) => [partAlong(at(inputs, 0), axis, start, stop)],
    linear: () => true,
    touches: ({ types }) => ({ read: bytesOf(types), written: null }),
    rows: sameDim,
    tokens: "own",
    columns: (node) => (node.attrs.axis === lastDim(node) ? null : "kept"),
    // zeros before and after
    grad(emit, { inputs: [x], attrs: { axis, start, stop } }, [dy]) {
      const { dtype, shape } = typeOf(x);
      const zeros = (count: number): readonly Node[] =>
        count > 0 ? [emit("constant", [], { value: 0, dtype, shape: replaceDim(shape, axis, count) })] : [];
      const parts = [...zeros(start), dy!, ...zeros(Number(shape[axis]) - stop)];
      return [parts.length === 1 ? dy! : emit("concat", parts, { axis })];
    },
    lower: { kind: "moved" },
  },
  concat: {
    doc: "one after the other along a dimension that is not packed",
    infer(inputs, { axis }) {
      if (inputs.length === 0) mismatch("takes at least one input, found none");
      const first = inputs[0]!;
      let total: Size = 0;
      for (const x of inputs) {
        sameDtype(first, x);
        total = addSizes(total, expectUnpacked(x.shape, axis));
        if (!equalShapes(replaceDim(x.shape, axis), replaceDim(first.shape, axis)))
          mismatch(`${printShape(first.shape)} and ${printShape(x.shape)} differ beside dimension ${axis}`);
      }
      return [{ dtype: first.dtype, shape: replaceDim(first.shape, axis, total) }];
    },
    cost: costPerResult(0),
    evaluate(inputs, { axis }) {
      const first = at(inputs, 0);
      const total = inputs.reduce((n, x) => n + x.shape[axis]!, 0);
      const out = tensor(
        first.dtype,
        first.shape.map((s, d) => (d === axis ? total : s)),
      );
      const { outer, inner } = around(first.shape, axis);
      let done = 0;
      for (const x of inputs) {
        const run = x.shape[axis]! * inner;
        for (let o = 0; o < outer; o++) out.data.set(x.data.subarray(o * run, (o + 1) * run), o * total * inner + done);
        done += run;
      }
      return [out];
    },
    linear: () => true,
    rows: sameDim,
    tokens: (node, along) => tokensAlong(node, along, [node.attrs.axis]),
    columns: null,
    grad(emit, { inputs, attrs: { axis } }, [dy]) {
      // Type inference permits a part of unknown length only as the only part.
      if (inputs.length === 1) return [dy!];
      let start = 0;
      return inputs.map((x) => {
        const stop = start + Number(typeOf(x).shape[axis]);
        const part = stop > start ? emit("slice", [dy!], { axis, start, stop }) : null;
        start = stop;
        return part;
      });
    },
    lower: { kind: "kernel" },
  },
  stop_gradient: {
    doc: "the same value; no gradient flows through it",
    infer: (inputs) => [only(inputs)],
    cost: noCost,
    evaluate: (inputs) => [at(inputs, 0)],
    rows: sameDim,
    tokens: "own",
    columns: "kept",
    grad: null,
    lower: { kind: "same" },
  },
  straight: {
    doc: "the first input, whose gradient goes to the second",
    infer(inputs) {
      const [hard, soft] = [expectDtype(inputs, 0, "f32"), expectDtype(inputs, 1, "f32")];
      return equalShapes(hard.shape, soft.shape)
        ? [hard]
        : mismatch(`both must be of one shape, found ${printShape(hard.shape)} and ${printShape(soft.shape)}`);
    },
    cost: noCost,
    evaluate: (inputs) => [at(inputs, 0)],
    rows: (_node, dim) => [dim, dim],
    tokens: "own",
    columns: "kept",
    // The cotangent of soft is dy; hard has none.
    grad: (_emit, _node, [dy]) => [null, dy!],
    lower: { kind: "same" },
  },
  barrier: {
    doc: "the first input, once the others exist; no rewrite rule crosses it",
    infer: (inputs) => [inputs[0] ?? mismatch("takes at least one input, found none")],
    cost: noCost,
    evaluate: (inputs) => [at(inputs, 0)],
    rows: null,
    tokens: "own",
    columns: "kept",
    grad: (_emit, { inputs }, [dy]) => inputs.map((_, i) => (i === 0 ? dy! : null)),
    lower: { kind: "same" },
  },
};

/**
 * A reshape must preserve packed dimensions: the number of elements before, between and after them must not change. A
 * dimension with k rows per token corresponds to the packed rows followed by a dimension k.
 */
function checkReshape(from: readonly Size[], to: readonly Size[]): void {
  if (!equalSizes(elements({ shape: from }), elements({ shape: to })))
    mismatch(`${printShape(from)} and ${printShape(to)} hold different numbers of elements`);
  const [before, after] = [groups(from), groups(to)];
  if (before.axes.join() !== after.axes.join() || !equalShapes(before.between, after.between))
    mismatch(`a reshape from ${printShape(from)} to ${printShape(to)} takes packed rows apart`);
}

/**
 * The input dimension of a packed dimension, since a reshape preserves their order; null if the dimension has several
 * rows per token.
 */
function samePacked(to: readonly Size[], dim: number, from: readonly Size[]): number | null {
  const packed = (shape: readonly Size[]): number[] => shape.flatMap((s, d) => (rowsOf(s) === null ? [] : [d]));
  const sourceDim = packed(from)[packed(to).indexOf(dim)];
  // Rows of a pool are no packed rows.
  return sourceDim === undefined || packedAxis(from[sourceDim]!) === null ? null : sourceDim;
}

function groups(shape: readonly Size[]): { readonly axes: readonly string[]; readonly between: readonly Size[] } {
  const axes: string[] = [];
  const between: Size[] = [1];
  shape.forEach((s) => {
    const rows = rowsOf(s);
    if (rows === null) between[between.length - 1] = multiplySizes(between[between.length - 1]!, s);
    else {
      axes.push(rows.axis);
      between.push(rows.each);
    }
  });
  return { axes, between };
}
