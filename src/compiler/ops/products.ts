// Matrix products and look-ups.
import { countOf, exactly } from "../../ground/base/collections.js";
import { typeOf, type Node } from "../ir/graph.js";
import type { TensorType } from "../ir/types.js";
import { printShape, printType } from "../ir/typing.js";
import { addSizes, equalSizes, multiplySizes } from "../../ground/size/size.js";
import type { EmitGrad, OpTable, RowInputs, Tensor } from "./define.js";
import { asRows, reshaped, unbroadcast } from "./algebra.js";
import { aligned, lastDim, tokensAlong } from "./rows.js";
import { broadcastShapes, bytesOf, elements, expectDtype, FLOATS, mismatch, sameDtype } from "./shapes.js";
import { at, broadcastNumbers, broadcastOffsets, readB, roundStored, tensor } from "./tensors.js";

/** Records of products and look-ups. */
export const products: Pick<OpTable, "matmul" | "gather"> = {
  matmul: {
    doc: "matrix product; leading dimensions broadcast",
    infer(inputs, { transposed }) {
      const [a, b] = [expectDtype(inputs, 0, ...FLOATS), expectDtype(inputs, 1, ...FLOATS)];
      if (a.shape.length < 2 || b.shape.length < 2)
        mismatch(`takes matrices, found ${printType(a)} and ${printType(b)}`);
      const [m, k] = exactly(2, a.shape.slice(-2));
      const [first, second] = exactly(2, b.shape.slice(-2));
      const [inner, n] = transposed ? [second, first] : [first, second];
      if (!equalSizes(k, inner))
        mismatch(
          `${printShape(a.shape)} and ${printShape(b.shape)}${transposed ? ", transposed," : ""} have no ` +
            "dimension in common to sum over",
        );
      return [
        { dtype: sameDtype(a, b), shape: [...broadcastShapes([a.shape.slice(0, -2), b.shape.slice(0, -2)]), m, n] },
      ];
    },
    cost(inputs, _attrs, results) {
      const k = inputs[0]!.shape.at(-1)!;
      return {
        flops: multiplySizes(multiplySizes(2, k), elements(results[0]!)),
        bytes: addSizes(bytesOf(inputs), bytesOf(results)),
      };
    },
    evaluate: (inputs, attrs) => [matmul(at(inputs, 0), readB(at(inputs, 1), attrs), attrs.transposed)],
    linear: () => true,
    rows: productRows,
    tokens: (node, along) => tokensAlong(node, along, [lastDim(node)]),
    columns: null,
    work: "products",
    // da = dy·bᵀ, db = aᵀ·dy; if b is transposed, da = dy·b, db = dyᵀ·a
    grad(emit, { inputs, attrs: { transposed } }, [dy]) {
      const [a, b] = inputs;
      const da = unbroadcast(emit, emit("matmul", [dy!, b], { transposed: !transposed }), typeOf(a));
      return [da, transposed ? sumOverRows(emit, dy!, a, typeOf(b)) : sumOverRows(emit, a, dy!, typeOf(b))];
    },
    gradComputes: true,
    lower: { kind: "kernel", readsEncoded: [0, 1], writesEncoded: true, decodes: 1 },
  },
  gather: {
    doc: "rows of a table by index; indices beyond it read the last row, and an empty table gives zeros",
    infer(inputs) {
      const table = expectDtype(inputs, 0, "f32", "f16", "u32", "i32", "bool");
      const indices = expectDtype(inputs, 1, "u32");
      if (table.shape.length === 0) mismatch("the table must have a dimension to look up along, found a scalar");
      return [{ dtype: table.dtype, shape: [...indices.shape, ...table.shape.slice(1)] }];
    },
    // Reads the looked-up rows only.
    cost: (inputs, _attrs, results) => ({
      flops: 0,
      bytes: addSizes(bytesOf([inputs[1]!]), multiplySizes(2, bytesOf(results))),
    }),
    evaluate(inputs) {
      const [table, indices] = [at(inputs, 0), at(inputs, 1)];
      const width = countOf(table.shape.slice(1));
      const last = table.shape[0]! - 1;
      const out = tensor(table.dtype, [...indices.shape, ...table.shape.slice(1)]);
      if (last >= 0)
        indices.data.forEach((v, i) => {
          const row = Math.min(v, last);
          out.data.set(table.data.subarray(row * width, (row + 1) * width), i * width);
        });
      return [out];
    },
    touches: ({ types }) => ({ read: bytesOf(types), written: null }),
    rows: (node, dim) => (dim < typeOf(node.inputs[1]).shape.length ? [null, dim] : null),
    tokens: (node, along) => tokensAlong(node, along, [0]),
    columns: null,
    grad: (emit, { inputs: [table, indices] }, [dy]) => [
      emit("gather_grad", [indices, dy!], { rows: typeOf(table).shape[0]! }),
      null,
    ],
    lower: { kind: "kernel", readsEncoded: [0], writesEncoded: true, decodes: 0 },
  },
};

/**
 * Rows of the result correspond to rows of a, columns to columns of b, and a leading dimension to the same dimension of
 * each operand that has it.
 */
function productRows(node: Node<"matmul">, dim: number): RowInputs {
  const rank = typeOf(node).shape.length;
  const [a, b] = [typeOf(node.inputs[0]).shape, typeOf(node.inputs[1]).shape];
  if (dim === rank - 2) return [a.length - 2, null];
  if (dim === rank - 1) return [null, b.length - (node.attrs.transposed ? 2 : 1)];
  return aligned(node, dim);
}

/** aᵀ·b for a[…, M, K] and b[…, M, N], summed over the leading dimensions that `type`, […, K, N], lacks. */
function sumOverRows(emit: EmitGrad, a: Node, b: Node, type: TensorType): Node {
  const [rowsA, rowsB] = type.shape.slice(0, -2).every((size) => size === 1)
    ? [asRows(emit, a), asRows(emit, b)]
    : [null, null];
  if (rowsA && rowsB) {
    const isVector = typeOf(rowsA).shape[1] === 1 || typeOf(rowsB).shape[1] === 1;
    const product = isVector ? weightedSum(emit, rowsA, rowsB) : emit("contract", [rowsA, rowsB], {});
    return reshaped(emit, product, type.shape);
  }
  const order = typeOf(a).shape.map((_, d) => d);
  const swapped = emit("permute", [a], { order: [...order.slice(0, -2), order.length - 1, order.length - 2] });
  return unbroadcast(emit, emit("matmul", [swapped, b], { transposed: false }), type);
}

/**
 * `sumOverRows` for [M, K] and [M, 1], or [M, 1] and [M, N], as a weighted sum of rows, [K] or [N]: a product's kernels
 * compute several columns at once, and only one would be needed.
 */
function weightedSum(emit: EmitGrad, a: Node, b: Node): Node {
  const { dtype } = typeOf(a);
  const exact = (x: Node): Node => (dtype === "f32" ? x : emit("cast", [x], { dtype: "f32" }));
  const sum = emit("sum", [emit("mul", [exact(a), exact(b)], {})], { axes: [0], keep: false });
  return dtype === "f32" ? sum : emit("cast", [sum], { dtype });
}

function matmul(a: Tensor, b: Tensor, transposed: boolean): Tensor {
  const [m, k] = exactly(2, a.shape.slice(-2));
  const n = b.shape.at(transposed ? -2 : -1)!;
  const lead = broadcastNumbers([a.shape.slice(0, -2), b.shape.slice(0, -2)]);
  const out = new Float64Array(countOf(lead) * m * n);
  const [aMatrix, bMatrix] = [a, b].map((t) => broadcastOffsets(t.shape.slice(0, -2), lead));
  for (let l = 0; l < countOf(lead); l++) {
    const aStart = (aMatrix ? aMatrix[l]! : l) * m * k;
    const bStart = (bMatrix ? bMatrix[l]! : l) * k * n;
    multiply(
      a.data.subarray(aStart, aStart + m * k),
      { data: b.data.subarray(bStart, bStart + k * n), down: transposed ? 1 : n, across: transposed ? k : 1 },
      out.subarray(l * m * n, (l + 1) * m * n),
      [m, k, n],
    );
  }
  return roundStored(tensor(a.dtype, [...lead, m, n], out));
}

/** A matrix [K, N] with its strides: `down` between rows, `across` between columns. */
interface Matrix {
  readonly data: Float64Array;
  readonly down: number;
  readonly across: number;
}

/**
 * c[M, N] = a[M, K] · b[K, N]. Each sum is accumulated in order of k. For speed eight sums (two rows, four columns) are
 * accumulated together, so that their additions overlap.
 */
function multiply(
  a: Float64Array,
  b: Matrix,
  c: Float64Array,
  [m, k, n]: readonly [m: number, k: number, n: number],
): void {
  const sums = new Float64Array(8);
  for (let i = 0; i < m; i += 2)
    for (let j = 0; j < n; j += 4) {
      addUp(sums, { a, k, i, last: m - 1 }, { b, j, last: n - 1 });
      for (let r = 0; r < 2 && i + r < m; r++)
        for (let q = 0; q < 4 && j + q < n; q++) c[(i + r) * n + j + q] = sums[4 * r + q]!;
    }
}

/**
 * Sums of the rows i and i + 1 of `a` times four columns of `b` from j on. Beyond the last row or column, the last is
 * computed again.
 */
function addUp(
  sums: Float64Array,
  {
    a,
    k,
    i,
    last: lastRow,
  }: { readonly a: Float64Array; readonly k: number; readonly i: number; readonly last: number },
  { b, j, last: lastColumn }: { readonly b: Matrix; readonly j: number; readonly last: number },
): void {
  const { data, down, across } = b;
  const x0 = i * k;
  const x1 = Math.min(i + 1, lastRow) * k;
  const y0 = j * across;
  const y1 = Math.min(j + 1, lastColumn) * across;
  const y2 = Math.min(j + 2, lastColumn) * across;
  const y3 = Math.min(j + 3, lastColumn) * across;
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let s4 = 0;
  let s5 = 0;
  let s6 = 0;
  let s7 = 0;
  for (let p = 0, at = 0; p < k; p++, at += down) {
    const f = a[x0 + p]!;
    const g = a[x1 + p]!;
    const b0 = data[y0 + at]!;
    const b1 = data[y1 + at]!;
    const b2 = data[y2 + at]!;
    const b3 = data[y3 + at]!;
    s0 += f * b0;
    s1 += f * b1;
    s2 += f * b2;
    s3 += f * b3;
    s4 += g * b0;
    s5 += g * b1;
    s6 += g * b2;
    s7 += g * b3;
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
  sums[4] = s4;
  sums[5] = s5;
  sums[6] = s6;
  sums[7] = s7;
}
