// Converts between the caller's padded tensors and packed rows.
import { countOf } from "../../ground/base/collections.js";
import type { Packing } from "../ir/graph.js";
import type { Tensor } from "../ops/define.js";
import { copyRows } from "../ops/sequences.js";
import { stridesOf, tensor, walk } from "../ops/tensors.js";

/** Packs `[…, B, …, T, …]` to the existing rows `[…, rows, …]`. `starts` has B + 1 entries. */
export function packRows(x: Tensor, { batchDim, tokenDim }: Packing, starts: ArrayLike<number>): Tensor {
  const front = moveDim(x, batchDim, 0);
  const dim = tokenDim - (batchDim < tokenDim ? 1 : 0);
  const shape = front.shape.slice(1).map((s, d) => (d === dim ? starts[starts.length - 1]! : s));
  const out = tensor(x.dtype, shape);
  copyRows(starts, shape, dim, front.shape[dim + 1]!, (packed, padded, width) =>
    out.data.set(front.data.subarray(padded, padded + width), packed),
  );
  return out;
}

/** Unpacks rows to `[…, B, …, T, …]` with T = `longest`; zeros after the end of each sequence. */
export function unpackRows(
  x: Tensor,
  { batchDim, tokenDim }: Packing,
  starts: ArrayLike<number>,
  longest: number,
): Tensor {
  const dim = tokenDim - (batchDim < tokenDim ? 1 : 0);
  const out = tensor(x.dtype, [starts.length - 1, ...x.shape.map((s, d) => (d === dim ? longest : s))]);
  copyRows(starts, x.shape, dim, longest, (packed, padded, width) =>
    out.data.set(x.data.subarray(packed, packed + width), padded),
  );
  return moveDim(out, 0, batchDim);
}

/**
 * Converts a route in the caller's form to packed rows, the form of the graph's routing operators. The caller's `index`
 * u32[B, K] counts from the start of each sequence of the parent axis; `count` is u32[B]. `width` is K.
 */
export function packRoute(
  index: ArrayLike<number>,
  width: number,
  count: ArrayLike<number>,
  parentStarts: ArrayLike<number>,
): { readonly index: Tensor; readonly starts: Tensor } {
  const starts = new Float64Array(count.length + 1);
  for (let b = 0; b < count.length; b++) starts[b + 1] = starts[b]! + count[b]!;
  const rows = new Float64Array(starts.at(-1)!);
  for (let b = 0; b < count.length; b++)
    for (let i = 0; i < count[b]!; i++) rows[starts[b]! + i] = parentStarts[b]! + index[b * width + i]!;
  return { index: tensor("u32", [rows.length], rows), starts: tensor("u32", [starts.length], starts) };
}

/**
 * Converts entries u32[…, k] in the caller's form, with `count` entries in each row, to the form of the graph's
 * operators: an unused slot holds k, which means no entry if rows differ in their number of entries.
 */
export function existingEntries(
  { shape, data }: { readonly shape: readonly number[]; readonly data: ArrayLike<number> },
  count: ArrayLike<number>,
): Tensor {
  const k = shape.at(-1)!;
  return tensor(
    "u32",
    shape,
    Float64Array.from(data, (entry, i) => (i % k < count[Math.floor(i / k)]! ? entry : k)),
  );
}

/** Moves one dimension of a tensor to another index. */
function moveDim(x: Tensor, from: number, to: number): Tensor {
  if (from === to) return x;
  const order = x.shape.map((_, d) => d).filter((d) => d !== from);
  order.splice(to, 0, from);
  const strides = stridesOf(x.shape);
  const shape = order.map((d) => x.shape[d]!);
  const data = new Float64Array(countOf(shape));
  walk(
    shape,
    order.map((d) => strides[d]!),
    (i, offset) => {
      data[i] = x.data[offset]!;
    },
  );
  return tensor(x.dtype, shape, data);
}
