// Rows moved along a dimension, and sums that double: what recurrences in ONNX are made of.
import { axisNamed } from "../../../ground/size/axes.js";
import { mostOf } from "../../../ground/size/counting.js";
import type { Name } from "./graph.js";
import { refuse, type Scope } from "./scope.js";

/** `rows` moved by `by` rows along a dimension, which has `length` of them; zeros come in at the other end. */
export function moved({ at, graph }: Scope, rows: Name, rank: number, dim: number, by: number, length: Name): Name {
  const pads = Array.from({ length: 2 * rank }, (_, i) => (i === dim + (by > 0 ? 0 : rank) ? Math.abs(by) : 0));
  const padded = graph.node("Pad", [rows, graph.ints(...pads)]);
  return by > 0 ? at.slice(padded, graph.ints(0), length, dim) : at.slice(padded, graph.ints(-by), null, dim);
}

/** The most rows of a sequence on an axis. Throws ExportError if none is declared. */
export function mostRows({ axes, model }: Scope, axis: string, path: string): number {
  const most = (name: string): number | null => {
    const { count } = axes.sequence(name);
    return mostOf(count, axisNamed(model.axes, name)?.bound ?? null, most);
  };
  return (
    most(axis) ?? refuse(`a recurrence along ${axis}, for which no greatest length is declared (T <= 1024),`, path)
  );
}

/** How a sum goes from row to row: by a factor, given as a logarithm, or by a matrix. Null: as it is. */
export type Step = { readonly log: Name } | { readonly matrix: Name } | null;

export interface Rows {
  readonly rank: number;
  readonly dim: number;
  readonly length: Name;
  /** No sequence has more rows. */
  readonly most: number;
  readonly reverse: boolean;
}

/**
 * y_t = step_t · y_(t−1) + x_t along a dimension, by doubling the rows that each row sums up until they are all:
 * y_t + step_t · y_(t−n) for n = 1, 2, 4, …, where steps multiply alike.
 */
export function summedUp(cx: Scope, x: Name, step: Step, { rank, dim, length, most, reverse }: Rows): Name {
  const { at, graph } = cx;
  let sum = x;
  let each = step;
  for (let n = 1; n < most; n *= 2) {
    const back = (rows: Name): Name => moved(cx, rows, rank, dim, reverse ? -n : n, length);
    const before = back(sum);
    if (each === null) sum = at.add(sum, before);
    else if ("log" in each) {
      sum = at.add(sum, at.mul(graph.node("Exp", [each.log]), before));
      each = { log: at.add(each.log, back(each.log)) };
    } else {
      sum = at.add(sum, at.matmul(each.matrix, before));
      each = { matrix: at.matmul(each.matrix, back(each.matrix)) };
    }
  }
  return sum;
}
