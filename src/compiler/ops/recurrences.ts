// Recurrences along the rows of each sequence, in order. On an axis of chosen rows these are the chosen rows alone.
import type { OpTable } from "./define.js";
import { lastDim, rowsAlong } from "./rows.js";
import { bytesOf, costPerResult, expectPacked, expectSequence, expectType, rowsType, startsShape } from "./shapes.js";
import { around, at, tensor } from "./tensors.js";
import { addSizes, rowsSize } from "../../ground/size/size.js";

export const recurrences: Pick<OpTable, "shift" | "shifted_rows"> = {
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
};

/** Visits each row with the first row of its sequence and the row behind the last. */
function eachRow(starts: ArrayLike<number>, visit: (row: number, first: number, end: number) => void): void {
  for (let b = 0; b + 1 < starts.length; b++)
    for (let row = starts[b]!; row < starts[b + 1]!; row++) visit(row, starts[b]!, starts[b + 1]!);
}
