// An account of transformers in plain loops of 64-bit numbers, one sequence at a time: what the tests of variants hold
// the compiler against. It shares nothing with the compiler but the names of weights.
import { normal } from "./experts/account.js";

export type Row = readonly number[];
export type Rows = readonly Row[];

export interface Given {
  readonly weights: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: ArrayLike<number> }>;
  readonly heads: number;
}

export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
export const sum = (row: Row): number => row.reduce((a, b) => a + b, 0);
export const mean = (row: Row): number => sum(row) / row.length;
export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
export const softmax = (row: Row): number[] => {
  const most = Math.max(...row);
  const parts = row.map((v) => Math.exp(v - most));
  return parts.map((p) => p / sum(parts));
};
export const add = (a: Rows, b: Rows): Rows => a.map((row, t) => row.map((v, c) => v + b[t]![c]!));
export const scale = (a: Rows, by: Row): Rows => a.map((row, t) => row.map((v) => v * by[t]!));
export const at = <V>(a: readonly V[], tokens: readonly number[]): readonly V[] => tokens.map((t) => a[t]!);
/** Where tokens stand, for which something holds. */
export const where = (holds: readonly boolean[]): number[] => holds.flatMap((h, t) => (h ? [t] : []));
/** x with y added to these tokens. */
export function put(x: Rows, tokens: readonly number[], y: Rows): Rows {
  const out = [...x];
  tokens.forEach((t, i) => (out[t] = x[t]!.map((v, c) => v + y[i]![c]!)));
  return out;
}

/** The k best tokens, in order of position. */
export const best = (score: Row, k: number): number[] =>
  range(score.length)
    .sort((a, b) => score[b]! - score[a]! || a - b)
    .slice(0, k)
    .sort((a, b) => a - b);

/** For each head and query its share of attention to each key that it sees. */
export function attended(
  q: Rows,
  k: Rows,
  heads: number,
  sees: (query: number, key: number) => boolean,
  weight: Row = k.map(() => 1),
): readonly Rows[] {
  const width = (k[0]?.length ?? 0) / heads;
  return range(heads).map((h) =>
    q.map((query, i) => {
      const dots = k.map((key, j) =>
        sees(i, j) ? sum(range(width).map((c) => query[h * width + c]! * key[h * width + c]!)) : -Infinity,
      );
      const most = Math.max(...dots);
      const parts = dots.map((dot, j) => (sees(i, j) ? weight[j]! * Math.exp((dot - most) / Math.sqrt(width)) : 0));
      const all = sum(parts);
      return parts.map((part) => (all === 0 ? 0 : part / all));
    }),
  );
}

/** The values that queries hear, the heads side by side. */
export function mixed(shares: readonly Rows[], v: Rows): Rows {
  const width = (v[0]?.length ?? 0) / shares.length;
  return shares[0]!.map((_, i) =>
    range(shares.length * width).map((column) =>
      sum(shares[Math.floor(column / width)]![i]!.map((share, j) => share * v[j]![column]!)),
    ),
  );
}

/** The mean of −log p over tokens with a target. */
export function crossEntropy(logits: Rows, targets: Row): number {
  const own = where(targets.map((target) => target >= 0));
  return own.length === 0 ? 0 : mean(own.map((t) => -Math.log(softmax(logits[t]!)[targets[t]!]!)));
}

export class Account {
  constructor(private readonly given: Given) {}

  matrix(path: string): number[][] {
    const { shape, data } = this.given.weights.get(path)!;
    const width = shape[1] ?? 1;
    return range(shape[0]!).map((r) => range(width).map((c) => data[r * width + c]!));
  }
  linear(path: string, x: Rows): Rows {
    const w = this.matrix(`${path}.weight`);
    const bias = this.given.weights.has(`${path}.bias`) ? this.matrix(`${path}.bias`) : null;
    return x.map((row) => w.map((u, o) => sum(u.map((v, c) => v * row[c]!)) + (bias?.[o]![0] ?? 0)));
  }
  rms(path: string, x: Rows): Rows {
    const w = this.matrix(`${path}.weight`);
    return x.map((row) => {
      const root = Math.sqrt(mean(row.map((v) => v * v)) + 1e-5);
      return row.map((v, c) => (v / root) * w[c]![0]!);
    });
  }
  swiglu(path: string, x: Rows): Rows {
    const [gate, up] = [this.linear(`${path}.gate`, x), this.linear(`${path}.up`, x)];
    return this.linear(
      `${path}.down`,
      gate.map((row, t) => row.map((v, c) => v * sigmoid(v) * up[t]![c]!)),
    );
  }
  /** PyTorch's LayerNorm: the variance divides by the width. */
  layerNorm(path: string, x: Rows): Rows {
    const [w, bias] = [this.matrix(`${path}.weight`), this.matrix(`${path}.bias`)];
    return x.map((row) => {
      const middle = mean(row);
      const root = Math.sqrt(mean(row.map((v) => (v - middle) ** 2)) + 1e-5);
      return row.map((v, c) => ((v - middle) / root) * w[c]![0]! + bias[c]![0]!);
    });
  }
  geluMlp(path: string, x: Rows): Rows {
    return this.linear(
      `${path}.down`,
      this.linear(`${path}.up`, x).map((row) => row.map((v) => v * normal(v))),
    );
  }
  /** Causal attention of these tokens over those, by their positions, each key with its weight. */
  attention(path: string, x: Rows, from: Row, all: Rows, to: Row, weight: Row = to.map(() => 1)): Rows {
    const { heads } = this.given;
    const q = this.turned(this.linear(`${path}.q`, x), from, heads);
    const k = this.turned(this.linear(`${path}.k`, all), to, heads);
    const shares = attended(q, k, heads, (i, j) => to[j]! <= from[i]!, weight);
    return this.linear(`${path}.o`, mixed(shares, this.linear(`${path}.v`, all)));
  }
  /** Rotary positions: dimension i of a head turns with i + width / 2. */
  turned(x: Rows, positions: Row, heads: number): Rows {
    return x.map((row, t) => {
      const width = row.length / heads;
      return row.map((v, column) => {
        const [first, i] = [Math.floor(column / width) * width, column % width];
        const angle = positions[t]! * 10000 ** ((-2 * (i % (width / 2))) / width);
        const other = row[first + ((i + width / 2) % width)]!;
        return v * Math.cos(angle) + (i < width / 2 ? -other : other) * Math.sin(angle);
      });
    });
  }
  /** The update of a layer on tokens at these positions. */
  layer(path: string, x: Rows, positions: Row): Rows {
    const n = this.rms(`${path}.attn_norm`, x);
    const a = this.attention(`${path}.attn`, n, positions, n, positions);
    return add(a, this.swiglu(`${path}.mlp`, this.rms(`${path}.mlp_norm`, add(x, a))));
  }
  embedded(tokens: readonly number[]): Rows {
    const table = this.matrix("embed.table");
    return tokens.map((t) => table[t]!);
  }
  unembedded(x: Rows): Rows {
    const table = this.matrix("embed.table");
    return x.map((row) => table.map((e) => sum(e.map((v, c) => v * row[c]!))));
  }
  logits(x: Rows): Rows {
    return this.unembedded(this.rms("norm", x));
  }
}
