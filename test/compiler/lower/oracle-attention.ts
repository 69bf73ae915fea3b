// Attention on one sequence, as plain loops: the weights of keys, and the weighted sums.
import type { LogicalAttrs } from "../../../src/language/check/model/model.js";
import type { Arr } from "./oracle-elements.js";

/** Queries and keys [heads, rows, width] of one sequence with their positions, and the weights of keys. */
export interface Sides {
  readonly q: Arr;
  readonly k: Arr;
  readonly positionsQ: readonly number[];
  readonly positionsK: readonly number[];
  readonly weight?: Arr | undefined;
}

const size = (shape: readonly number[]): number => shape.reduce((n, s) => n * s, 1);
const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
/** 0 where no key is seen. */
const quotient = (a: number, b: number): number => (b === 0 ? 0 : a / b);
const headsOf = ({ shape }: Arr): number => size(shape.slice(0, -2));

/**
 * [query head][query][key]: unnormalised weights, 0 for hidden keys. Results are divided by the sum of weights: so
 * equal tokens at the beginning of a sequence have equal results.
 */
function partsOf({ q, k, positionsQ, positionsK, weight }: Sides, attrs: LogicalAttrs["attention"]): number[][][] {
  const d = q.shape.at(-1)!;
  const group = headsOf(q) / headsOf(k);
  return Array.from({ length: headsOf(q) }, (_, h) =>
    positionsQ.map((at, i) => {
      const scores = positionsK.map((p, j) => {
        const gap = at - p;
        const hidden = (attrs.causal && gap < 0) || (attrs.window > 0 && Math.abs(gap) >= attrs.window);
        if (hidden || (weight && !(weight.data[j]! > 0))) return -Infinity;
        let dot = 0;
        for (let c = 0; c < d; c++)
          dot +=
            q.data[(h * positionsQ.length + i) * d + c]! *
            k.data[(Math.floor(h / group) * positionsK.length + j) * d + c]!;
        return dot * (attrs.scale ?? 1 / Math.sqrt(d));
      });
      const most = Math.max(...scores);
      return scores.map((s, j) => (s === -Infinity ? 0 : (weight?.data[j] ?? 1) * Math.exp(s - most)));
    }),
  );
}

export function attended(sides: Sides, v: Arr, attrs: LogicalAttrs["attention"]): Arr {
  const { q, k } = sides;
  const e = v.shape.at(-1)!;
  const group = headsOf(q) / headsOf(k);
  const keys = sides.positionsK.length;
  const data = partsOf(sides, attrs).flatMap((queries, h) =>
    queries.flatMap((parts) =>
      Array.from({ length: e }, (_, c) => {
        const value = (j: number): number => v.data[(Math.floor(h / group) * keys + j) * e + c]!;
        return quotient(sum(parts.map((part, j) => (part === 0 ? 0 : part * value(j)))), sum(parts));
      }),
    ),
  );
  return { shape: [...q.shape.slice(0, -1), e], data };
}

export function receivedBy(sides: Sides, attrs: LogicalAttrs["received"]): Arr {
  const data = partsOf(sides, attrs).flatMap((queries) =>
    sides.positionsK.map((_, j) => sum(queries.map((parts) => quotient(parts[j]!, sum(parts))))),
  );
  return { shape: [...sides.q.shape.slice(0, -2), sides.positionsK.length], data };
}
