// Recurrences along the rows of each sequence, in order. On an axis of chosen rows these are the chosen rows alone.
import type { OpTable } from "./define.js";
import { lastDim, rowsAlong } from "./rows.js";
import {
  bytesOf,
  costPerResult,
  elements,
  expectDtype,
  expectPacked,
  expectSequence,
  expectType,
  rowsType,
  startsShape,
} from "./shapes.js";
import { around, at, tensor } from "./tensors.js";
import { addSizes, multiplySizes, rowsSize } from "../../ground/size/size.js";
import { inputsFor } from "../ir/typing.js";

export const recurrences: Pick<OpTable, "shift" | "shifted_rows" | "scan"> = {
  shift: {
    doc: "the row a fixed number before each row of its sequence, or behind it; zeros where there is none",
    infer(inputs, { dim }, context) {
      const x = inputs[0]!;
      expectPacked(x.shape, dim);
      expectType(inputs, 1, "u32", startsShape(context));
      return [x];
    },
    cost: (inputs, _attrs, results) => ({ flops: 0, bytes: addSizes(bytesOf(inputs), bytesOf(results)) }),
    evaluate(inputs, { dim, by }) {
      const [x, starts] = [at(inputs, 0), at(inputs, 1).data];
      const { outer, n, inner } = around(x.shape, dim);
      const out = tensor(x.dtype, x.shape);
      eachRow(starts, (row, first, end) => {
        const from = row - by;
        if (from < first || from >= end) return;
        for (let o = 0; o < outer; o++) {
          const source = (o * n + from) * inner;
          out.data.set(x.data.subarray(source, source + inner), (o * n + row) * inner);
        }
      });
      return [out];
    },
    linear: (input) => input === 0,
    starts: (node) => [[rowsAlong(node, 0, node.attrs.dim), 1]],
    rows: null,
    tokens: (node) => (node.attrs.by < 0 ? "all" : "earlier"),
    columns: (node) => (node.attrs.dim === lastDim(node) ? null : "kept"),
    grad: (emit, { inputs: [, starts], attrs }, [dy]) => [
      emit("shift", [dy!, starts], { ...attrs, by: -attrs.by }),
      null,
    ],
    lower: { kind: "rewritten" },
  },
  shifted_rows: {
    doc: "the row a fixed number before each row, around within its sequence, and whether it exists",
    infer(inputs, { axis }, context) {
      expectSequence(context, axis);
      expectType(inputs, 0, "u32", startsShape(context));
      return [rowsType(axis), { dtype: "bool", shape: [rowsSize(axis)] }];
    },
    cost: costPerResult(0),
    evaluate(inputs, { by }) {
      const starts = at(inputs, 0).data;
      const rows = starts.at(-1)!;
      const [index, exists] = [tensor("u32", [rows]), tensor("bool", [rows])];
      eachRow(starts, (row, first, end) => {
        const count = end - first;
        index.data[row] = first + ((((row - first - by) % count) + count) % count);
        exists.data[row] = Number(row - by >= first && row - by < end);
      });
      return [index, exists];
    },
    starts: ({ attrs }) => [[attrs.axis, 0]],
    rows: null,
    tokens: (node) => (node.attrs.by < 0 ? "all" : "earlier"),
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  scan: {
    doc: "the sum of the rows up to each, in which earlier rows decay: y_n = exp(d_n) · y_(n−1) + x_n",
    infer(inputs, { dim }, context) {
      const x = expectDtype(inputs, 0, "f32");
      expectPacked(x.shape, dim);
      expectType(inputs, 1, "u32", startsShape(context));
      if (inputs.length === 3) expectType(inputs, 2, "f32", x.shape);
      return [x];
    },
    // An exponential, a product and a sum.
    cost: (inputs, _attrs, results) => ({
      flops: multiplySizes(inputs.length === 3 ? 3 : 1, elements(results[0]!)),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate(inputs, { dim, reverse }) {
      const [x, starts, decay] = [at(inputs, 0), at(inputs, 1).data, inputs[2]];
      const { outer, n, inner } = around(x.shape, dim);
      const out = tensor("f32", x.shape);
      for (let o = 0; o < outer; o++)
        eachRow(
          starts,
          (row, first, end) => {
            const before = reverse ? row + 1 : row - 1;
            const isFirst = before < first || before >= end;
            for (let c = 0; c < inner; c++) {
              const i = (o * n + row) * inner + c;
              const factor = isFirst ? 0 : decay ? Math.exp(decay.data[i]!) : 1;
              out.data[i] = x.data[i]! + (factor === 0 ? 0 : factor * out.data[(o * n + before) * inner + c]!);
            }
          },
          reverse,
        );
      return [out];
    },
    linear: (input) => input === 0,
    starts: (node) => [[rowsAlong(node, 0, node.attrs.dim), 1]],
    rows: null,
    tokens: (node) => (node.attrs.reverse ? "all" : "earlier"),
    columns: null,
    // With a_n = exp(d_n): dx_n = dy_n + a_(n+1) · dx_(n+1), and dd_n = a_n · y_(n−1) · dx_n.
    grad(emit, node, [dy]) {
      const { inputs, attrs } = node;
      const [, starts, decay] = inputs;
      const by = attrs.reverse ? 1 : -1;
      const after = decay ? [emit("shift", [decay, starts], { dim: attrs.dim, by })] : [];
      const dx = emit("scan", inputsFor("scan", [dy!, starts, ...after]), { ...attrs, reverse: !attrs.reverse });
      if (!decay) return [dx, null];
      const before = emit("shift", [node, starts], { dim: attrs.dim, by: -by });
      return [dx, null, emit("mul", [emit("mul", [emit("exp", [decay], {}), before], {}), dx], {})];
    },
    lower: { kind: "kernel", computes: 0, readsViews: [2] },
  },
};

/** Visits each row with the first row of its sequence and the row behind the last; `reverse`: from the last row. */
export function eachRow(
  starts: ArrayLike<number>,
  visit: (row: number, first: number, end: number) => void,
  reverse = false,
): void {
  for (let b = 0; b + 1 < starts.length; b++) {
    const [first, end] = [starts[b]!, starts[b + 1]!];
    for (let i = 0; i < end - first; i++) visit(reverse ? end - 1 - i : first + i, first, end);
  }
}
