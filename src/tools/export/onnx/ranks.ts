// Top-k in ONNX: the indices of the largest elements along a dimension. Ties keep the lower index first.
import type { Size } from "../../../ground/size/size.js";
import type { Name } from "./graph.js";
import type { Scope } from "./scope.js";

export interface Ranking {
  /** The shape of the ranked tensor. */
  readonly shape: readonly Size[];
  /** The ranked dimension. */
  readonly dim: number;
  /** i64[1]: the k of top-k. */
  readonly k: Name;
  /** Whether the indices ascend. By default the index of the largest element comes first. */
  readonly ascend?: boolean;
}

/**
 * Indices of the k largest elements along a dimension, which then has the extent k.
 * ONNX Runtime divides by the number of ranked rows and crashes if there are no rows. Therefore k is set to 0 in this
 * case, for which ONNX Runtime returns early.
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
