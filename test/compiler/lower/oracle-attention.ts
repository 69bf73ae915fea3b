// Attention on one sequence, as plain loops: the weights of keys, and the weighted sums.
import type { LogicalAttrs, Value } from "../../../src/language/check/model/model.js";
import { pairInputs } from "../../../src/language/check/model/pairs.js";
import type { Arr } from "./oracle-elements.js";

/** Queries and keys [heads, rows, width] of one sequence with their positions, and the weights of keys. */
export interface Sides {
  readonly q: Arr;
  readonly k: Arr;
  readonly positionsQ: readonly number[];
  readonly positionsK: readonly number[];
  readonly weight?: Arr | undefined;
  /** [queries, keys], or with heads in front; heads may be 1. */
  readonly mask?: Arr | undefined;
  readonly bias?: Arr | undefined;
  readonly cap?: number | null | undefined;
}

/** The options that all forms of attention have. */
type Options = Pick<LogicalAttrs["attention"], "causal" | "window" | "scale">;

const size = (shape: readonly number[]): number => shape.reduce((n, s) => n * s, 1);
const sum = (list: readonly number[]): number => list.reduce((a, b) => a + b, 0);
/** 0 where no key is seen. */
const quotient = (a: number, b: number): number => (b === 0 ? 0 : a / b);
const headsOf = ({ shape }: Arr): number => size(shape.slice(0, -2));

/**
 * [query head][query][key]: unnormalised weights, 0 for hidden keys. Results are divided by the sum of weights: so
 * equal tokens at the beginning of a sequence have equal results.
 */
function partsOf(sides: Sides, attrs: Options): number[][][] {
  const { weight } = sides;
  return scoresOf(sides, attrs).map((heads) =>
    heads.map((scores) => {
      const most = Math.max(...scores);
      return scores.map((s, j) => (s === -Infinity ? 0 : (weight?.data[j] ?? 1) * Math.exp(s - most)));
    }),
  );
}

/** [query head][query][key]: scores, −Infinity for hidden keys. */
function scoresOf({ q, k, positionsQ, positionsK, ...more }: Sides, attrs: Options): number[][][] {
  const { weight, mask, bias, cap } = more;
  const d = q.shape.at(-1)!;
  const group = headsOf(q) / headsOf(k);
  const ofPair = (x: Arr, h: number, i: number, j: number): number => {
    const [rows, columns] = x.shape.slice(-2) as [number, number];
    const head = headsOf(x) === 1 ? 0 : h;
    return x.data[(head * rows + (rows === 1 ? 0 : i)) * columns + (columns === 1 ? 0 : j)]!;
  };
  return Array.from({ length: headsOf(q) }, (_, h) =>
    positionsQ.map((at, i) =>
      positionsK.map((p, j) => {
        const gap = at - p;
        const hidden = (attrs.causal && gap < 0) || (attrs.window > 0 && Math.abs(gap) >= attrs.window);
        if (hidden || (weight && !(weight.data[j]! > 0)) || (mask && ofPair(mask, h, i, j) === 0)) return -Infinity;
        let dot = 0;
        for (let c = 0; c < d; c++)
          dot +=
            q.data[(h * positionsQ.length + i) * d + c]! *
            k.data[(Math.floor(h / group) * positionsK.length + j) * d + c]!;
        const score = dot * (attrs.scale ?? 1 / Math.sqrt(d));
        const capped = typeof cap === "number" ? cap * Math.tanh(score / cap) : score;
        return capped + (bias ? ofPair(bias, h, i, j) : 0);
      }),
    ),
  );
}

/** log Σ weight · exp(score) of each query; −1e30 if it sees no key. */
function massOf(sides: Sides, attrs: Options): Arr {
  const data = scoresOf(sides, attrs).flatMap((heads) =>
    heads.map((scores) => {
      const total = sum(scores.map((s, j) => (sides.weight?.data[j] ?? 1) * Math.exp(s)));
      return scores.every((s) => s === -Infinity) ? -1e30 : Math.log(total);
    }),
  );
  return { shape: sides.q.shape.slice(0, -1), data };
}

export function attended(sides: Sides, v: Arr, attrs: Options): Arr {
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

/** A `pair_attention` or `mass`, from the values of its inputs; `sides` has its queries and keys. */
export function pairAttended(
  value: Value<"pair_attention"> | Value<"mass">,
  values: ReadonlyMap<Value, Arr>,
  sides: Sides,
): Arr {
  const { rows, weight, mask, bias } = pairInputs(value);
  const of = (x: Value | null | undefined): Arr | undefined => (x ? values.get(x)! : undefined);
  const all = { ...sides, weight: of(weight), mask: of(mask), bias: of(bias), cap: value.attrs.cap };
  return value.op === "mass" ? massOf(all, value.attrs) : attended(all, of(rows[2])!, value.attrs);
}
