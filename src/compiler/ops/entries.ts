// Choices among the entries of the last axis: chooses, gathers and adds entries. An index of E or more means no entry.
// Scores are ordered as for routes (`compareScores`), so every machine makes the same choice.
import { equalShapes, printType } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import { addSizes, multiplySizes } from "../../ground/size/size.js";
import { filledLike } from "./algebra.js";
import type { OpTable, Tensor } from "./define.js";
import { ranked } from "./routing.js";
import { sameDim } from "./rows.js";
import {
  bytesOf,
  costPerResult,
  elements,
  expectDtype,
  expectType,
  expectUnpacked,
  FLOATS,
  mismatch,
  NUMBERS,
  sameDtype,
} from "./shapes.js";
import { at, roundStored, tensor } from "./tensors.js";

/** Records of the operators on entries. */
export const entries: Pick<OpTable, "top_entries" | "those_entries" | "take_entries" | "put_entries"> = {
  top_entries: {
    doc: "the k best entries of the last axis, ascending by index",
    infer(inputs, { k }) {
      const score = expectDtype(inputs, 0, ...FLOATS);
      const among = expectUnpacked(score.shape, score.shape.length - 1);
      if (!Number.isInteger(k) || k < 1 || typeof among !== "number" || k > among)
        mismatch(`k is 1 to the number of entries, found ${k} of ${printType(score)}`);
      return [{ dtype: "u32", shape: [...score.shape.slice(0, -1), k] }];
    },
    // Nominal: one comparison for each score.
    cost: (inputs, _attrs, results) => ({
      flops: elements(inputs[0]!),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate(inputs, { k, choice }, context) {
      const forced = context.forcedEntries(choice);
      if (forced) return [forced];
      const score = at(inputs, 0);
      const among = score.shape.at(-1)!;
      const out = tensor("u32", [...score.shape.slice(0, -1), k]);
      for (let row = 0; row < score.data.length / among; row++) {
        const best = ranked(score.data, row * among, (row + 1) * among).slice(0, k);
        out.data.set(
          best.map((entry) => entry - row * among).sort((a, b) => a - b),
          row * k,
        );
      }
      return [out];
    },
    chooses: [0],
    rows: sameDim,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  those_entries: {
    doc: "the entries of the last axis for which a mask holds, ascending; then their number, which is no entry",
    infer(inputs) {
      const mask = expectDtype(inputs, 0, "bool");
      expectUnpacked(mask.shape, mask.shape.length - 1);
      return [{ dtype: "u32", shape: mask.shape }];
    },
    cost: costPerResult(0),
    evaluate(inputs, { choice }, context) {
      const forced = context.forcedEntries(choice);
      if (forced) return [forced];
      const mask = at(inputs, 0);
      const among = mask.shape.at(-1)!;
      const out = tensor("u32", mask.shape, new Float64Array(mask.data.length).fill(among));
      for (let first = 0; first < mask.data.length; first += among) {
        let next = first;
        for (let e = 0; e < among; e++) if (mask.data[first + e]) out.data[next++] = e;
      }
      return [out];
    },
    rows: sameDim,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  take_entries: {
    doc: "the entries of an index along the last axis; zeros where it is no entry",
    infer(inputs) {
      const x = expectDtype(inputs, 0, ...NUMBERS, "bool");
      return [{ dtype: x.dtype, shape: expectIndex(inputs).shape }];
    },
    // Reads the taken entries only.
    cost: (inputs, _attrs, results) => ({
      flops: 0,
      bytes: addSizes(bytesOf([inputs[1]!]), multiplySizes(2, bytesOf(results))),
    }),
    evaluate(inputs) {
      const [x, index] = [at(inputs, 0), at(inputs, 1)];
      const out = tensor(x.dtype, index.shape);
      eachEntry(x, index, (there, here) => {
        out.data[here] = x.data[there]!;
      });
      return [out];
    },
    touches: ({ types }) => ({ read: bytesOf(types), written: null }),
    linear: (input) => input === 0,
    rows: sameDim,
    tokens: "own",
    columns: null,
    grad: (emit, { inputs: [x, index] }, [dy]) => [emit("put_entries", [filledLike(emit, x, 0), index, dy!], {}), null],
    lower: { kind: "kernel" },
  },
  put_entries: {
    doc: "x with y added to the entries of an index along the last axis; every other entry as it was",
    infer(inputs) {
      const x = expectDtype(inputs, 0, ...NUMBERS);
      const index = expectIndex(inputs);
      sameDtype(x, expectType(inputs, 2, x.dtype, index.shape));
      return [x];
    },
    cost: (inputs, _attrs, results) => ({
      flops: elements(inputs[2]!),
      bytes: addSizes(bytesOf(inputs), bytesOf(results)),
    }),
    evaluate(inputs) {
      const [x, index, y] = [at(inputs, 0), at(inputs, 1), at(inputs, 2).data];
      const out = tensor(x.dtype, x.shape, x.data.slice());
      eachEntry(x, index, (there, here) => {
        out.data[there] = out.data[there]! + y[here]!;
      });
      return [roundStored(out)];
    },
    rows: sameDim,
    tokens: "own",
    columns: null,
    grad: (emit, { inputs: [, index] }, [dy]) => [dy!, null, emit("take_entries", [dy!, index], {})],
    lower: { kind: "kernel", computes: 0 },
  },
};

/** The index of entries at input 1: u32 with the leading dimensions of input 0. */
function expectIndex(inputs: readonly TensorType[]): TensorType {
  const [x, index] = [inputs[0]!, expectDtype(inputs, 1, "u32")];
  expectUnpacked(x.shape, x.shape.length - 1);
  expectUnpacked(index.shape, index.shape.length - 1);
  return equalShapes(index.shape.slice(0, -1), x.shape.slice(0, -1))
    ? index
    : mismatch(`the index must have the leading dimensions of ${printType(x)}, found ${printType(index)}`);
}

/** Visits the existing entries of an index, with their offset in x and in the index. */
function eachEntry(x: Tensor, index: Tensor, visit: (there: number, here: number) => void): void {
  const [among, k] = [x.shape.at(-1)!, index.shape.at(-1)!];
  index.data.forEach((entry, here) => {
    if (entry < among) visit(Math.floor(here / k) * among + entry, here);
  });
}
