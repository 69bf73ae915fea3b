// Reductions. `reduce_max`, `reduce_min` and `argmax` (the first NaN) propagate NaN, as in PyTorch. Over no elements
// the sum is 0, the maximum −∞ (the minimum of an integer type), the minimum ∞ (the maximum of an integer type), and
// argmax 0.
import { countOf } from "../../ground/base/collections.js";
import type { TensorType } from "../ir/types.js";
import type { DType } from "../../ground/base/dtype.js";
import { addSizes, multiplySizes, type Size } from "../../ground/size/size.js";
import { typeOf } from "../ir/graph.js";
import type { Cost, Grad, OpDef, OpTable, Tensor } from "./define.js";
import { algebra, keepingReduced, broadcasted } from "./algebra.js";
import { sameDim, beforeReduction, lastDim, tokensAlong } from "./rows.js";
import { bytesOf, elements, expectAxes, expectDtype, expectUnpacked, FLOATS, NUMBERS } from "./shapes.js";
import { around, at, broadcastOffsets, roundStored, tensor } from "./tensors.js";

type Reduction = OpDef<"sum" | "reduce_max" | "reduce_min">;

const without = <S extends Size>(shape: readonly S[], axes: readonly number[], keep: boolean): readonly (S | 1)[] =>
  keep ? shape.map((s, i) => (axes.includes(i) ? 1 : s)) : shape.filter((_, i) => !axes.includes(i));

const costPerInput =
  (perElement: number) =>
  (inputs: readonly TensorType[], _attrs: unknown, results: readonly TensorType[]): Cost => ({
    flops: multiplySizes(perElement, elements(inputs[0]!)),
    bytes: addSizes(bytesOf(inputs), bytesOf(results)),
  });

/** A reduction that combines the elements along the axes with f, from `start(dtype)`. */
const reduction = (
  doc: string,
  start: (dtype: DType) => number,
  combine: (a: number, b: number) => number,
  grad: Grad<"sum" | "reduce_max" | "reduce_min">,
): Reduction => ({
  doc,
  infer(inputs, { axes, keep }) {
    const x = expectDtype(inputs, 0, ...NUMBERS);
    expectAxes(x.shape, axes);
    return [{ dtype: x.dtype, shape: without(x.shape, axes, keep) }];
  },
  cost: costPerInput(1),
  evaluate(inputs, { axes, keep }) {
    const x = at(inputs, 0);
    const keptShape = without(x.shape, axes, true);
    const out = new Float64Array(countOf(keptShape)).fill(start(x.dtype));
    const offsets = broadcastOffsets(keptShape, x.shape);
    for (let i = 0; i < x.data.length; i++) {
      const o = offsets ? offsets[i]! : i;
      out[o] = combine(out[o]!, x.data[i]!);
    }
    return [roundStored(tensor(x.dtype, without(x.shape, axes, keep), out))];
  },
  rows: ({ attrs }, dim) => [beforeReduction(dim, attrs.axes, attrs.keep)],
  tokens: (node, along) => tokensAlong(node, along, node.attrs.axes),
  columns: (node) => (node.attrs.axes.includes(lastDim(node)) ? "reduced" : "kept"),
  grad,
  lower: { kind: "kernel", computes: 0, readsEncoded: [0] },
});

const least = (dtype: DType): number => (dtype === "u32" ? 0 : dtype === "i32" ? -0x80000000 : -Infinity);
const greatest = (dtype: DType): number => (dtype === "u32" ? 0xffffffff : dtype === "i32" ? 0x7fffffff : Infinity);

/** All elements that equal the extremum get equal shares of dy, as in PyTorch. */
const ofExtreme: Grad<"sum" | "reduce_max" | "reduce_min"> = (emit, node, [dy]) => {
  const [x] = node.inputs;
  const { axes } = node.attrs;
  const m = algebra(emit, node);
  const chosen = m.eq(x, keepingReduced(emit, node, x, axes));
  const count = emit("sum", [emit("cast", [chosen], { dtype: typeOf(node).dtype })], { axes, keep: true });
  return [m.where(chosen, m.div(keepingReduced(emit, dy!, x, axes), count), 0)];
};

export const reductions: Pick<OpTable, "sum" | "reduce_max" | "reduce_min" | "argmax" | "softmax"> = {
  sum: {
    ...reduction(
      "sum of the elements along some dimensions",
      () => 0,
      (a, b) => a + b,
      (emit, { inputs: [x], attrs: { axes } }, [dy]) => [
        broadcasted(emit, keepingReduced(emit, dy!, x, axes), typeOf(x).shape),
      ],
    ),
    linear: () => true,
  },
  reduce_max: reduction("the largest along some dimensions", least, Math.max, ofExtreme),
  reduce_min: reduction("the smallest along some dimensions", greatest, Math.min, ofExtreme),
  argmax: {
    doc: "where the largest lies along a dimension; the first of equals",
    infer(inputs, { axis, keep }) {
      const x = expectDtype(inputs, 0, ...NUMBERS);
      expectUnpacked(x.shape, axis);
      return [{ dtype: "u32", shape: without(x.shape, [axis], keep) }];
    },
    cost: costPerInput(1),
    evaluate(inputs, { axis, keep }) {
      const x = at(inputs, 0);
      const { outer, n, inner } = around(x.shape, axis);
      const out = tensor("u32", without(x.shape, [axis], keep));
      for (let o = 0; o < outer; o++)
        for (let i = 0; i < inner; i++) {
          const value = (j: number): number => x.data[(o * n + j) * inner + i]!;
          let best = 0;
          for (let j = 1; j < n; j++) if (!Number.isNaN(value(best)) && !(value(j) <= value(best))) best = j;
          out.data[o * inner + i] = best;
        }
      return [out];
    },
    rows: ({ attrs }, dim) => [beforeReduction(dim, [attrs.axis], attrs.keep)],
    tokens: (node, along) => tokensAlong(node, along, [node.attrs.axis]),
    columns: (node) => (node.attrs.axis === lastDim(node) ? "reduced" : null),
    grad: null,
    lower: { kind: "kernel" },
  },
  softmax: {
    doc: "e^x divided by its sum along a dimension",
    infer(inputs, { axis }) {
      const x = expectDtype(inputs, 0, ...FLOATS);
      expectUnpacked(x.shape, axis);
      return [x];
    },
    // subtract the maximum, exponential, sum, divide
    cost: costPerInput(4),
    evaluate: (inputs, { axis }) => [softmax(at(inputs, 0), axis)],
    rows: sameDim,
    tokens: (node, along) => tokensAlong(node, along, [node.attrs.axis]),
    columns: (node) => (node.attrs.axis === lastDim(node) ? "kept" : null),
    // dx = y·(dy − Σ dy·y)
    grad(emit, node, [dy]) {
      const m = algebra(emit, node);
      return [m.mul(node, m.sub(dy!, emit("sum", [m.mul(dy!, node)], { axes: [node.attrs.axis], keep: true })))];
    },
    lower: { kind: "kernel", computes: 0, writesEncoded: true },
  },
};

function softmax(x: Tensor, axis: number): Tensor {
  const { outer, n, inner } = around(x.shape, axis);
  const out = new Float64Array(x.data.length);
  for (let o = 0; o < outer; o++)
    for (let i = 0; i < inner; i++) {
      const first = o * n * inner + i;
      let max = -Infinity;
      for (let j = 0; j < n; j++) max = Math.max(max, x.data[first + j * inner]!);
      let sum = 0;
      for (let j = 0; j < n; j++) sum += out[first + j * inner] = Math.exp(x.data[first + j * inner]! - max);
      for (let j = 0; j < n; j++) out[first + j * inner] = out[first + j * inner]! / sum;
    }
  return roundStored(tensor(x.dtype, x.shape, out));
}
