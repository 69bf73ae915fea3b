// Paged caches: rows of many sequences in one pool, found through page tables (Kwon et al. 2023, arXiv 2309.06180). Row
// i of sequence b is row pages[b, i / page] · page + i % page of the pool.
import { isOp, type Node } from "../ir/graph.js";
import { packedAxis, printType } from "../ir/typing.js";
import type { TensorType } from "../ir/types.js";
import { addSizes, equalSizes, rowsSize, type Size } from "../../ground/size/size.js";
import { attend, attentionFlops, expectHeads } from "./attention.js";
import type { InferContext, OpTable, Tensor } from "./define.js";
import { rowsAlong } from "./rows.js";
import { ofEachRow } from "./sequences.js";
import {
  bytesOf,
  costPerResult,
  expectDtype,
  expectPacked,
  expectSequence,
  expectType,
  mismatch,
  rowsType,
  startsShape,
} from "./shapes.js";
import { at, tensor } from "./tensors.js";

/** The position of an unused row, which no query attends to. */
export const UNUSED_POSITION = 0xffffffff;

/** Records of operators on paged caches. */
export const paging: Pick<OpTable, "paged_append" | "paged_keys" | "paged_attention"> = {
  paged_append: {
    doc: "the row of the pool for each new row, behind those that its sequence had before",
    infer(inputs, { axis }, context) {
      expectSequence(context, axis);
      expectType(inputs, 0, "u32", [context.batch]);
      expectType(inputs, 1, "u32", startsShape(context));
      expectPages(inputs, 2, context);
      return [rowsType(axis)];
    },
    cost: costPerResult(0),
    evaluate(inputs, { page }) {
      const counts = at(inputs, 0).data;
      const rowOf = poolRow(at(inputs, 2), page);
      return [ofEachRow(at(inputs, 1).data, (b, i) => rowOf(b, counts[b]! + i))];
    },
    rows: null,
    tokens: "earlier",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  paged_keys: {
    doc: "of each row that a sequence may have, its position and its row of the pool; beyond those it has, no position",
    infer(inputs, { axis }, context) {
      expectSequence(context, axis);
      expectType(inputs, 0, "u32", startsShape(context));
      expectType(inputs, 1, "u32", [context.batch]);
      expectPages(inputs, 2, context);
      if (inputs.length === 4 && expectDtype(inputs, 3, "u32").shape.length !== 1)
        mismatch(`positions must be u32[rows of the pool], found ${printType(inputs[3]!)}`);
      return [{ dtype: "u32", shape: [rowsSize(axis), 2] }];
    },
    cost: costPerResult(0),
    evaluate(inputs, { page }) {
      const [starts, counts] = [at(inputs, 0).data, at(inputs, 1).data];
      const rowOf = poolRow(at(inputs, 2), page);
      const positions = inputs.length === 4 ? at(inputs, 3).data : null;
      const out = tensor("u32", [starts.at(-1)!, 2]);
      for (let b = 0; b + 1 < starts.length; b++)
        for (let i = 0; i < starts[b + 1]! - starts[b]!; i++) {
          const used = i < counts[b]!;
          const row = used ? rowOf(b, i) : 0;
          const position = positions ? positions[Math.min(row, positions.length - 1)]! : i;
          out.data.set([used ? position : UNUSED_POSITION, row], 2 * (starts[b]! + i));
        }
      return [out];
    },
    rows: null,
    tokens: "all",
    columns: null,
    grad: null,
    lower: { kind: "kernel" },
  },
  paged_attention: {
    doc: "attention whose keys and values lie in a pool, at the rows that a table gives",
    infer: (inputs, _attrs, context) => [pagedType(inputs, context)],
    cost(inputs, attrs, results) {
      const [q, k, v] = onRows(inputs);
      return {
        flops: attentionFlops([q, k, v], attrs),
        bytes: addSizes(bytesOf([q, k, v, ...inputs.slice(3)]), bytesOf(results)),
      };
    },
    evaluate(inputs, attrs) {
      const [q, k, v, startsQ, startsK, positionsQ, table] = Array.from({ length: 7 }, (_, i) => at(inputs, i));
      const rows = Array.from({ length: table!.shape[0]! }, (_, row) => table!.data[2 * row + 1]!);
      const positions = tensor(
        "u32",
        [rows.length],
        Float64Array.from(rows, (_, row) => table!.data[2 * row]!),
      );
      const all = [q!, taken(k!, rows), taken(v!, rows), startsQ!, startsK!, positionsQ!, positions];
      return [attend(all, attrs).y];
    },
    starts: (node) => [
      [rowsAlong(node, 0, 1), 3],
      [keysAxis(node), 4],
    ],
    rows: null,
    tokens: "all",
    columns: null,
    grad: null,
    work: "attention",
    lower: { kind: "kernel", readsViews: [0, 1, 2], writesViews: [0], readsEncoded: [0, 1, 2], writesEncoded: true },
  },
};

function expectPages(inputs: readonly TensorType[], index: number, context: InferContext): void {
  const { shape } = expectDtype(inputs, index, "u32");
  if (shape.length !== 2 || !equalSizes(shape[0]!, context.batch))
    mismatch(`input ${index} must be the pages of each sequence, u32[B, pages], found ${printType(inputs[index]!)}`);
}

/** The pool row of row i of sequence b. A row beyond the page table is in its last page. */
const poolRow =
  ({ shape, data }: Tensor, page: number) =>
  (b: number, i: number): number => {
    const most = shape[1]!;
    return data[b * most + Math.min(Math.floor(i / page), most - 1)]! * page + (i % page);
  };

/** x[heads, pool, width] → [heads, rows, width]; a row beyond the pool reads the pool's last row. */
function taken(x: Tensor, rows: readonly number[]): Tensor {
  const [heads, pool, width] = [x.shape[0]!, x.shape[1]!, x.shape[2]!];
  const out = tensor(x.dtype, [heads, rows.length, width]);
  for (let h = 0; h < heads; h++)
    rows.forEach((row, i) => {
      const from = (h * pool + Math.min(row, pool - 1)) * width;
      out.data.set(x.data.subarray(from, from + width), (h * rows.length + i) * width);
    });
  return out;
}

const keysAxis = (node: Node): string => {
  if (!isOp(node, "paged_attention")) return "";
  return packedAxis(node.inputs[6].types[0]!.shape[0]!) ?? "";
};

/** The types of q, k and v with the rows of the table in place of the pool's rows. */
function onRows(inputs: readonly TensorType[]): readonly [TensorType, TensorType, TensorType] {
  const rows: Size = inputs[6]!.shape[0]!;
  const over = ({ dtype, shape }: TensorType): TensorType => ({ dtype, shape: [shape[0]!, rows, shape[2]!] });
  return [inputs[0]!, over(inputs[1]!), over(inputs[2]!)];
}

function pagedType(inputs: readonly TensorType[], context: InferContext): TensorType {
  const [q, k, v] = expectHeads(inputs, 3);
  const queries = expectPacked(q.shape, 1);
  if (!equalSizes(v.shape[1]!, k.shape[1]!))
    mismatch(`v must have the rows of k, found ${printType(v)} and ${printType(k)}`);
  expectType(inputs, 3, "u32", startsShape(context));
  expectType(inputs, 4, "u32", startsShape(context));
  expectType(inputs, 5, "u32", rowsType(queries).shape);
  const table = expectDtype(inputs, 6, "u32");
  const axis = table.shape.length === 2 ? packedAxis(table.shape[0]!) : null;
  if (axis === null || table.shape[1] !== 2)
    mismatch(`the table must be u32[rows of keys, 2], found ${printType(table)}`);
  return { dtype: q.dtype, shape: [q.shape[0]!, q.shape[1]!, v.shape[2]!] };
}
