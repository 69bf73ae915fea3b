// The order of tokens and entries in ONNX: where the largest are along a dimension. Of equal ones the first is first.
import type { Size } from "../../../ground/size/size.js";
import type { Name } from "./graph.js";
import type { Scope } from "./scope.js";

export interface Ranking {
  /** Of what is ranked. */
  readonly shape: readonly Size[];
  /** Along which it is ranked. */
  readonly dim: number;
  /** i64[1]: how many are wanted. */
  readonly k: Name;
  /** Whether the indices ascend; by default they are those of the largest first. */
  readonly ascend?: boolean;
}

/**
 * Indices of the k largest along a dimension, k in its place. ONNX Runtime divides by how many rows it ranks, and so
 * ends the process where there are none: 0 of these are wanted, which it gives without a look.
 */
export function topIndices({ at, axes, graph }: Scope, x: Name, { shape, dim, k, ascend }: Ranking): Name {
  const open = shape.filter((size, i) => i !== dim && typeof size !== "number").map((size) => axes.size(size));
  const rows = open.length === 0 ? null : open.reduce((a, b) => at.mul(a, b));
  const own = rows === null ? k : at.mul(k, at.min(rows, graph.ints(1)));
  const largest = graph.results("TopK", [x, own], { axis: dim, largest: 1, sorted: 1 }, 2)[1]!;
  const index = ascend ? graph.results("TopK", [largest, own], { axis: dim, largest: 0, sorted: 1 }, 2)[0]! : largest;
  if (rows === null) return index;
  const sizes = shape.map((size, i) => (i === dim ? k : axes.size(size)));
  return at.reshapeTo(index, at.concat(sizes, 0));
}
