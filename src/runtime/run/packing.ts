// Maps packed rows to the caller's padded tensors, as runs of elements that are contiguous in both.
import { countOf } from "../../ground/base/collections.js";

/** A tensor's padded shape and the positions of its packed rows. */
export interface PackedLayout {
  /** The padded shape, with batch and tokens among its dimensions. */
  readonly shape: readonly number[];
  readonly batchDim: number;
  readonly tokenDim: number;
  /** First packed row of each sequence. */
  readonly starts: Uint32Array;
  /** Rows of each sequence. */
  readonly counts: Uint32Array;
  /** Rows for which the packed form has room. */
  readonly rows: number;
}

/**
 * Visits every contiguous run: `length` elements from `packed` on in the packed form correspond to the elements from
 * `unfolded` on in the padded form. The packed shape is the padded shape without the batch, with rows in place of
 * tokens.
 */
export function forEachRun(
  layout: PackedLayout,
  visit: (packed: number, unfolded: number, length: number) => void,
): void {
  const { shape, batchDim, tokenDim, starts, counts } = layout;
  const { unfolded, packed } = strides(layout);
  const last = Math.max(batchDim, tokenDim);
  const inner = countOf(shape.slice(last + 1));
  const outer = shape.map((_, i) => i).filter((i) => i < last && i !== batchDim && i !== tokenDim);
  const joined = unfolded[tokenDim] === inner && packed[tokenDim] === inner;
  const total = outer.reduce((n, i) => n * shape[i]!, 1);
  for (let o = 0; o < total; o++) {
    const [p, u] = offsets(o, outer, shape, packed, unfolded);
    for (let b = 0; b < counts.length; b++) {
      const from = p + starts[b]! * packed[tokenDim]!;
      const to = u + b * unfolded[batchDim]!;
      const count = counts[b]!;
      if (joined) {
        if (count > 0 && inner > 0) visit(from, to, count * inner);
      } else for (let t = 0; t < count; t++) visit(from + t * packed[tokenDim]!, to + t * unfolded[tokenDim]!, inner);
    }
  }
}

/** Number of elements in the packed form. */
export const packedLength = ({ shape, batchDim, tokenDim, rows }: Omit<PackedLayout, "starts" | "counts">): number =>
  shape.reduce((n, d, i) => n * (i === batchDim ? 1 : i === tokenDim ? rows : d), 1);

function strides({ shape, batchDim, tokenDim, rows }: PackedLayout): {
  readonly unfolded: readonly number[];
  readonly packed: readonly number[];
} {
  const unfolded = shape.map(() => 0);
  const packed = shape.map(() => 0);
  let u = 1;
  let p = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    unfolded[i] = u;
    u *= shape[i]!;
    if (i === batchDim) continue;
    packed[i] = p;
    p *= i === tokenDim ? rows : shape[i]!;
  }
  return { unfolded, packed };
}

/** The offset of the o-th combination of outer dimensions in both forms. */
function offsets(
  o: number,
  outer: readonly number[],
  shape: readonly number[],
  packed: readonly number[],
  unfolded: readonly number[],
): readonly [number, number] {
  let p = 0;
  let u = 0;
  for (let j = outer.length - 1; j >= 0; j--) {
    const i = outer[j]!;
    const at = o % shape[i]!;
    o = (o - at) / shape[i]!;
    p += at * packed[i]!;
    u += at * unfolded[i]!;
  }
  return [p, u];
}
