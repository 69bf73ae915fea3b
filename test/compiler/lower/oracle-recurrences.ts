// Recurrences on one sequence, as their definitions read: the state after each token as a matrix of its own.
import type { LogicalAttrs } from "../../../src/language/check/model/model.js";
import { arr, type Arr } from "./oracle-elements.js";

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

export function linearlyAttended(x: readonly Arr[], attrs: LogicalAttrs["linear_attention"]): Arr {
  const [q, k, v] = x as [Arr, Arr, Arr];
  const decay = attrs.decays ? x[3]! : null;
  const [forget, at] = attrs.forgets ? x.slice(-2) : [];
  const [, heads, tokens, columns] = v.shape as [number, number, number, number];
  const width = k.shape[3]!;
  /** Row t of an operand for head h. */
  const row = (a: Arr, h: number, t: number): number[] => {
    const w = a.shape[3]!;
    const own = Math.floor((h * a.shape[1]!) / heads);
    return Array.from(a.data.slice((own * tokens + t) * w, (own * tokens + t + 1) * w));
  };
  const factors = (h: number, t: number): number[] => {
    if (!decay) return new Array<number>(width).fill(1);
    if (decay.shape.length === 4) return row(decay, h, t).map(Math.exp);
    const own = decay.shape.length === 0 ? 0 : Math.floor((h * decay.shape[1]!) / heads) * tokens + t;
    return new Array<number>(width).fill(Math.exp(decay.data[own]!));
  };
  const results = Array.from({ length: heads }, (_, h) => {
    let state = Array.from({ length: width }, () => new Array<number>(columns).fill(0));
    return Array.from({ length: tokens }, (_t, t) => {
      const before = state;
      const column = (j: number): number[] => before.map((r) => r[j]!);
      const recalled = Array.from({ length: columns }, (_c, j) => (at ? dot(row(at, h, t), column(j)) : 0));
      const [a, key, value] = [factors(h, t), row(k, h, t), row(v, h, t)];
      const gone = forget ? row(forget, h, t) : new Array<number>(width).fill(0);
      state = before.map((r, i) => r.map((s, j) => a[i]! * s - gone[i]! * recalled[j]! + key[i]! * value[j]!));
      return value.map(
        (_c, j) =>
          attrs.scale *
          dot(
            row(q, h, t),
            state.map((r) => r[j]!),
          ),
      );
    });
  });
  return arr(v.shape, ([, h, t, j]) => results[h!]![t!]![j!]!);
}

const offset = (shape: readonly number[], index: readonly number[]): number =>
  shape.reduce((n, s, d) => n * s + index[d]!, 0);
/** Broadcasting: the index aligned from the right, dimensions of one element repeated. */
const element = (a: Arr, index: readonly number[]): number =>
  a.data[
    offset(
      a.shape,
      a.shape.map((s, d) => (s === 1 ? 0 : index[index.length - a.shape.length + d]!)),
    )
  ]!;

export const shifted = (x: Arr, { dim, by }: LogicalAttrs["shift"]): Arr =>
  arr(x.shape, (i) => {
    const row = i[dim]! - by;
    return row < 0 || row >= x.shape[dim]! ? 0 : element(x, i.with(dim, row));
  });

export function scanned([x, d]: readonly Arr[], { dim, reverse }: LogicalAttrs["scan"]): Arr {
  const of = (i: readonly number[]): number => {
    const before = i[dim]! + (reverse ? 1 : -1);
    if (before < 0 || before >= x!.shape[dim]!) return element(x!, i);
    return element(x!, i) + (d ? Math.exp(element(d, i)) : 1) * of(i.with(dim, before));
  };
  return arr(x!.shape, of);
}
