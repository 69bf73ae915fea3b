// Operators that occur only in gradients of weights, of embedding tables and of the loss.
import { countOf, exactly } from "../../ground/base/collections.js";
import { equalShapes, printType } from "../ir/typing.js";
import { addSizes, equalSizes, multiplySizes } from "../../ground/size/size.js";
import type { OpTable } from "./define.js";
import { lastDim } from "./rows.js";
import { bytesOf, elements, expectDtype, expectType, FLOATS, mismatch, sameDtype } from "./shapes.js";
import { at, readB, roundStored, tensor } from "./tensors.js";

export const gradients: Pick<OpTable, "contract" | "gather_grad" | "cross_entropy_grad"> = {
  contract: {
    doc: "aᵀ · b: the sum over the rows of two matrices of the products of their columns",
    infer(inputs) {
      const [a, b] = [expectDtype(inputs, 0, ...FLOATS), expectDtype(inputs, 1, ...FLOATS)];
      if (a.shape.length !== 2 || b.shape.length !== 2 || !equalSizes(a.shape[0]!, b.shape[0]!))
        mismatch(`takes two matrices of as many rows, found ${printType(a)} and ${printType(b)}`);
      return [{ dtype: sameDtype(a, b), shape: [a.shape[1]!, b.shape[1]!] }];
    },
    cost: (inputs, _attrs, results) => ({
      flops: multiplySizes(multiplySizes(2, inputs[0]!.shape[0]!), elements(results[0]!)),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate(inputs, attrs) {
      const [a, b] = [at(inputs, 0), readB(at(inputs, 1), attrs)];
      const [rows, k] = exactly(2, a.shape);
      const m = b.shape[1]!;
      const out = new Float64Array(k * m);
      for (let n = 0; n < rows; n++)
        for (let i = 0; i < k; i++) {
          const factor = a.data[n * k + i]!;
          for (let j = 0, x = i * m, y = n * m; j < m; j++, x++) out[x] = out[x]! + factor * b.data[y++]!;
        }
      return [roundStored(tensor(a.dtype, [k, m], out))];
    },
    rows: null,
    tokens: "all",
    columns: null,
    work: "products",
    // da = b·dyᵀ, db = a·dy
    grad: (emit, { inputs: [a, b] }, [dy]) => [
      emit("matmul", [b, dy!], { transposed: true }),
      emit("matmul", [a, dy!], { transposed: false }),
    ],
    gradComputes: true,
    lower: { kind: "rewritten" },
  },
  gather_grad: {
    doc: "the gradient of a table from those of the rows looked up in it; indices beyond it read the last row",
    infer(inputs, { rows }) {
      const indices = expectDtype(inputs, 0, "u32");
      const dy = expectDtype(inputs, 1, ...FLOATS);
      const rank = indices.shape.length;
      if (!equalShapes(dy.shape.slice(0, rank), indices.shape))
        mismatch(`each index takes one row, found ${printType(indices)} and ${printType(dy)}`);
      return [{ dtype: dy.dtype, shape: [rows, ...dy.shape.slice(rank)] }];
    },
    cost: (inputs, _attrs, results) => ({
      flops: elements(inputs[1]!),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate(inputs, attrs, context) {
      const [indices, dy] = [at(inputs, 0), at(inputs, 1)];
      const rows = context.sizes.number(attrs.rows);
      const shape = [rows, ...dy.shape.slice(indices.shape.length)];
      const width = countOf(shape.slice(1));
      const out = tensor(dy.dtype, shape);
      if (rows === 0) return [out];
      indices.data.forEach((v, i) => {
        const row = Math.min(v, rows - 1) * width;
        for (let c = 0; c < width; c++) out.data[row + c] = out.data[row + c]! + dy.data[i * width + c]!;
      });
      return [roundStored(out)];
    },
    rows: null,
    tokens: "all",
    columns: null,
    grad: (emit, { inputs: [indices] }, [dtable]) => [null, emit("gather", [dtable!, indices], {})],
    lower: { kind: "kernel", computes: 1, scratch: 2 },
  },
  cross_entropy_grad: {
    doc:
      "the gradient of cross_entropy with respect to the logits: (softmax − 1 at the target) · dloss; zeros where " +
      "the target is negative",
    infer(inputs) {
      const logits = expectDtype(inputs, 0, ...FLOATS);
      const targets = expectDtype(inputs, 1, "u32", "i32");
      if (logits.shape.length === 0 || !equalShapes(logits.shape.slice(0, -1), targets.shape))
        mismatch(`each row of logits takes one target, found ${printType(logits)} and ${printType(targets)}`);
      expectType(inputs, 2, "f32", targets.shape);
      return [logits];
    },
    // maximum, subtraction, exponential, sum, factor
    cost: (inputs, _attrs, results) => ({
      flops: multiplySizes(5, elements(inputs[0]!)),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate(inputs) {
      const [logits, targets, dloss] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)];
      const classes = logits.shape.at(-1)!;
      const out = tensor(logits.dtype, logits.shape);
      targets.data.forEach((target, row) => {
        if (target < 0) return;
        const x = logits.data.subarray(row * classes, (row + 1) * classes);
        const max = x.reduce((m, v) => Math.max(m, v), -Infinity);
        const sum = x.reduce((s, v) => s + Math.exp(v - max), 0);
        const goal = Math.min(target, classes - 1);
        for (let c = 0; c < classes; c++)
          out.data[row * classes + c] = (Math.exp(x[c]! - max) / sum - (c === goal ? 1 : 0)) * dloss.data[row]!;
      });
      return [roundStored(out)];
    },
    linear: (input) => input === 2,
    rows: (node, dim) => (dim < lastDim(node) ? [dim, dim, dim] : null),
    tokens: "own",
    columns: "kept",
    grad: null,
    lower: { kind: "kernel", inPlace: [0] },
  },
};
