// Operators on entries, several for each row, which are sorted into groups with one matrix each.
import { countOf, exactly } from "../../ground/base/collections.js";
import { typeOf } from "../ir/graph.js";
import { printShape, printType } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import { addSizes, applySize, divideSizes, equalSizes, multiplySizes, type Size } from "../../ground/size/size.js";
import { algebra } from "./algebra.js";
import type { OpTable, Tensor } from "./define.js";
import { bytesOf, elements, expectDtype, expectType, FLOATS, mismatch, sameDtype } from "./shapes.js";
import { at, readB, roundStored, tensor } from "./tensors.js";

type Groups = "sort_entries" | "entry_rows" | "sum_entries" | "grouped_matmul" | "grouped_contract";

/** The largest share of b's matrices that the rows of a can need. */
function usedShare(a: TensorType, b: TensorType): Size {
  const [groups, rows] = [b.shape[0]!, a.shape[0]!];
  return divideSizes(applySize("min", [groups, rows]), groups) ?? 1;
}

export const groups: Pick<OpTable, Groups> = {
  sort_entries: {
    doc: "the entries of rows in a stable order by their group; those of no group last",
    infer(inputs, attrs) {
      const group = expectDtype(inputs, 0, "u32");
      if (group.shape.length !== 2) mismatch(`takes the groups of each row's entries, found ${printType(group)}`);
      if (attrs.groups < 1) mismatch(`there must be a group, found ${attrs.groups}`);
      const [rows, k] = exactly(2, group.shape);
      const list: TensorType = { dtype: "u32", shape: [attrs.list ?? multiplySizes(rows, k)] };
      return [list, list, group, { dtype: "u32", shape: [attrs.groups + 1] }, list];
    },
    cost: (inputs, _attrs, results) => ({ flops: 0, bytes: addSizes(bytesOf(inputs), bytesOf(results)) }),
    evaluate(inputs, attrs, context) {
      const { data, shape } = at(inputs, 0);
      const listed = attrs.list === undefined ? data.length : context.sizes.number(attrs.list);
      const lists = Array.from({ length: attrs.groups + 1 }, (): number[] => []);
      data.forEach((group, entry) => lists[Math.min(group, attrs.groups)]!.push(entry));
      const entries = Float64Array.from(lists.flat());
      const place = new Float64Array(entries.length);
      entries.forEach((entry, p) => (place[entry] = p));
      const starts = [0];
      for (const list of lists.slice(0, -1)) starts.push(starts.at(-1)! + list.length);
      const all = (values: Float64Array): Tensor => tensor("u32", [values.length], values);
      const list = (values: Float64Array): Tensor => all(values.slice(0, listed));
      return [
        list(entries),
        list(entries.map((entry) => Math.floor(entry / shape[1]!))),
        tensor("u32", shape, place),
        all(Float64Array.from(starts)),
        list(entries.map((entry) => Math.min(data[entry]!, attrs.groups))),
      ];
    },
    chooses: [0],
    rows: null,
    tokens: "own",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  entry_rows: {
    doc: "the row of each entry, in the order of their places",
    infer(inputs) {
      const x = expectDtype(inputs, 0, "f32", "f16", "u32", "i32", "bool");
      const { rows, count } = entriesOf(inputs, 1, 2);
      if (x.shape.length === 0 || !equalSizes(x.shape[0]!, rows))
        mismatch(`${printType(x)} has another number of rows`);
      return [{ dtype: x.dtype, shape: [count, ...x.shape.slice(1)] }];
    },
    // Reads the rows of the entries, once each.
    cost: (inputs, _attrs, results) => ({
      flops: 0,
      bytes: addSizes(bytesOf([inputs[1]!]), multiplySizes(2, bytesOf(results))),
    }),
    evaluate(inputs) {
      const [x, index] = [at(inputs, 0), at(inputs, 1).data];
      const width = countOf(x.shape.slice(1));
      const out = tensor(x.dtype, [index.length, ...x.shape.slice(1)]);
      index.forEach((row, p) => out.data.set(x.data.subarray(row * width, (row + 1) * width), p * width));
      return [out];
    },
    touches: ({ types }) => ({ read: bytesOf(types), written: null }),
    linear: (input) => input === 0,
    rows: null,
    tokens: "own",
    columns: (node) => (typeOf(node).shape.length === 1 ? null : "kept"),
    // A row's cotangent is the sum of its entries' cotangents.
    grad: (emit, { inputs: [, index, place] }, [dy]) => [emit("sum_entries", [dy!, place, index], {}), null, null],
    lower: { kind: "moved" },
  },
  sum_entries: {
    doc: "the sum over each row's entries, in order, added to the row where one is given",
    infer(inputs, { groups, gaps = false }) {
      const y = expectDtype(inputs, 0, "f32", "f16");
      const { rows, count } = entriesOf(inputs, 2, 1);
      const { x, listed } = operandsOf(inputs, groups);
      if (listed) expectType(inputs, inputs.length - 1, "u32", [count]);
      if (groups === undefined && gaps) mismatch("has gaps only between groups");
      if (groups === undefined && inputs.length > 4) mismatch(`takes 3 or 4 inputs, found ${inputs.length}`);
      if (y.shape.length === 0 || !equalSizes(y.shape[0]!, count)) mismatch(`${printType(y)} is no row for each entry`);
      const result = { dtype: y.dtype, shape: [rows, ...y.shape.slice(1)] };
      if (x) expectType(inputs, 3, result.dtype, result.shape);
      return [result];
    },
    cost: (inputs, _attrs, results) => ({
      flops: elements(inputs[0]!),
      bytes: addSizes(bytesOf(inputs.filter((_, i) => i !== 2)), bytesOf(results)),
    }),
    evaluate(inputs, { groups, gaps = false }) {
      const [y, place] = [at(inputs, 0), at(inputs, 1)];
      const { x, listed } = operandsOf(inputs, groups);
      const [rows, k] = exactly(2, place.shape);
      const width = countOf(y.shape.slice(1));
      const out = tensor(y.dtype, [rows, ...y.shape.slice(1)]);
      for (let row = 0; row < rows; row++)
        for (let n = row * k; n < (row + 1) * k; n++) {
          const p = place.data[n]!;
          const isNone = p >= y.shape[0]! || (listed !== null && listed.data[p]! >= groups!);
          if (isNone && gaps) continue;
          if (isNone) break;
          for (let c = 0, to = row * width, from = p * width; c < width; c++)
            out.data[to + c] = out.data[to + c]! + y.data[from + c]!;
        }
      x?.data.forEach((v, i) => (out.data[i] = v + out.data[i]!));
      return [roundStored(out)];
    },
    linear: (input) => input === 0,
    rows: null,
    tokens: "own",
    columns: (node) => (typeOf(node).shape.length === 1 ? null : "kept"),
    grad(emit, { inputs, attrs: { groups } }, [dy]) {
      const [y, place, index] = inputs;
      const { x, listed } = operandsOf(inputs, groups);
      const rows = emit("entry_rows", [dy!, index, place], {});
      const others = x ? [dy!] : [];
      if (groups === undefined || !listed) return [rows, null, null, ...others];
      const [count, ...behind] = typeOf(y).shape;
      const has = emit("lt", [listed, emit("constant", [], { value: groups, dtype: "u32", shape: [] })], {});
      const hasRow = emit("reshape", [has], { shape: [count!, ...behind.map(() => 1)] });
      return [algebra(emit, rows).where(hasRow, rows, 0), null, null, ...others, null];
    },
    lower: { kind: "kernel", inPlace: [3], readsEncoded: [0, 3], writesEncoded: true },
  },
  grouped_matmul: {
    doc: "each group of rows times a matrix of its own; zeros for rows of no group, or anything where they are unread",
    infer(inputs, { transposed }) {
      const [a, b] = [expectDtype(inputs, 0, ...FLOATS), expectDtype(inputs, 1, ...FLOATS)];
      if (a.shape.length !== 2 || b.shape.length !== 3)
        mismatch(`takes rows and a matrix for each group, found ${printType(a)} and ${printType(b)}`);
      const [count, first, second] = exactly(3, b.shape);
      const [inner, columns] = transposed ? [second, first] : [first, second];
      if (!equalSizes(a.shape[1]!, inner))
        mismatch(`${printShape(a.shape)} and ${printShape(b.shape)} have no dimension in common to sum over`);
      expectType(inputs, 2, "u32", [oneMore(count)]);
      return [{ dtype: sameDtype(a, b), shape: [a.shape[0]!, columns] }];
    },
    // Reads at most as many groups' matrices as there are rows: for one token, only its experts' matrices.
    cost: ([a, b, starts], _attrs, [y]) => ({
      flops: multiplySizes(multiplySizes(2, a!.shape[1]!), elements(y!)),
      bytes: addSizes(multiplySizes(usedShare(a!, b!), bytesOf([b!])), bytesOf([a!, starts!, y!])),
    }),
    touches: ({ inputs: [a, b] }) => ({
      read: null,
      written: null,
      share: { input: 1, of: usedShare(typeOf(a), typeOf(b)) },
    }),
    evaluate(inputs, { transposed, unread = false, roundsB }) {
      const [a, b, starts] = [at(inputs, 0), readB(at(inputs, 1), { roundsB }), at(inputs, 2).data];
      const [rows, depth] = exactly(2, a.shape);
      const columns = b.shape[transposed ? 1 : 2]!;
      const [down, across] = transposed ? [1, depth] : [columns, 1];
      const out = tensor(a.dtype, [rows, columns]);
      // NaN reveals any reader of rows that are declared unread.
      if (unread) out.data.fill(NaN, starts.at(-1)! * columns);
      for (let g = 0; g + 1 < starts.length; g++)
        for (let m = starts[g]!; m < starts[g + 1]!; m++)
          for (let n = 0; n < columns; n++) {
            let sum = 0;
            const from = g * depth * columns + n * across;
            for (let k = 0; k < depth; k++) sum += a.data[m * depth + k]! * b.data[from + k * down]!;
            out.data[m * columns + n] = sum;
          }
      return [roundStored(out)];
    },
    linear: (input) => input < 2,
    rows: null,
    tokens: "own",
    columns: null,
    work: "products",
    // da = dy·bᵀ with each group's matrix, db = aᵀ·dy over each group's rows; if b is transposed, db = dyᵀ·a
    grad: (emit, { inputs: [a, b, starts], attrs: { transposed } }, [dy]) => [
      emit("grouped_matmul", [dy!, b, starts], { transposed: !transposed }),
      emit("grouped_contract", transposed ? [dy!, a, starts] : [a, dy!, starts], {}),
      null,
    ],
    gradComputes: true,
    lower: { kind: "kernel", readsEncoded: [0, 1], writesEncoded: true, decodes: 1 },
  },
  grouped_contract: {
    doc: "aᵀ · b over the rows of each group, in order",
    infer(inputs) {
      const [a, b] = [expectDtype(inputs, 0, ...FLOATS), expectDtype(inputs, 1, ...FLOATS)];
      const starts = expectDtype(inputs, 2, "u32");
      if (a.shape.length !== 2 || b.shape.length !== 2 || !equalSizes(a.shape[0]!, b.shape[0]!))
        mismatch(`takes two matrices of as many rows, found ${printType(a)} and ${printType(b)}`);
      const [end] = starts.shape;
      if (starts.shape.length !== 1 || typeof end !== "number" || end < 2)
        mismatch(`takes the starts of groups, found ${printType(starts)}`);
      return [{ dtype: sameDtype(a, b), shape: [(end as number) - 1, a.shape[1]!, b.shape[1]!] }];
    },
    cost: (inputs) => ({
      flops: multiplySizes(multiplySizes(2, elements(inputs[0]!)), inputs[1]!.shape[1]!),
      bytes: bytesOf(inputs),
    }),
    evaluate(inputs, attrs) {
      const [a, b, starts] = [at(inputs, 0), readB(at(inputs, 1), attrs), at(inputs, 2).data];
      const [depth, columns] = [a.shape[1]!, b.shape[1]!];
      const out = tensor(a.dtype, [starts.length - 1, depth, columns]);
      for (let g = 0; g + 1 < starts.length; g++)
        for (let m = starts[g]!; m < starts[g + 1]!; m++)
          for (let i = 0; i < depth; i++)
            for (let j = 0, to = (g * depth + i) * columns; j < columns; j++, to++)
              out.data[to] = out.data[to]! + a.data[m * depth + i]! * b.data[m * columns + j]!;
      return [roundStored(out)];
    },
    linear: (input) => input < 2,
    rows: null,
    tokens: "all",
    columns: null,
    work: "products",
    // da = b·dyᵀ, db = a·dy, with each group's matrix
    grad: (emit, { inputs: [a, b, starts] }, [dy]) => [
      emit("grouped_matmul", [b, dy!, starts], { transposed: true }),
      emit("grouped_matmul", [a, dy!, starts], { transposed: false }),
      null,
    ],
    gradComputes: true,
    lower: { kind: "kernel", readsEncoded: [0, 1], writesEncoded: true },
  },
};

/** The value to which the sum of entries is added, and the group of each place. */
export function operandsOf<T>(
  inputs: readonly T[],
  groups: number | undefined,
): { readonly x: T | null; readonly listed: T | null } {
  const [, , , ...more] = inputs;
  const listed = groups === undefined ? null : (more.pop() ?? null);
  return { x: more[0] ?? null, listed };
}

const oneMore = (count: Size): Size => addSizes(count, 1);

/** The numbers of rows and of listed entries, from the inputs with each entry's row and each row's places. */
function entriesOf(inputs: readonly TensorType[], index: number, place: number): { rows: Size; count: Size } {
  const places = expectDtype(inputs, place, "u32");
  if (places.shape.length !== 2) mismatch(`input ${place} must be the places of each row's entries`);
  const listed = expectDtype(inputs, index, "u32");
  if (listed.shape.length !== 1) mismatch(`input ${index} must be a row for each place, found ${printType(listed)}`);
  return { rows: places.shape[0]!, count: listed.shape[0]! };
}
