// What a mixture of experts computes, written from its definition as plain loops over 64-bit numbers: one sequence at a
// time, one token at a time. It shares nothing with the compiler. A planted mistake makes it wrong in one way.

export type Kind = "swiglu" | "gelu" | "attention" | "nothing" | "same";

/** How tokens and experts choose one another. */
export type Chooses = "best" | "above" | "experts" | "room";

/** One random program; `source` in `programs.ts` writes it in the language. */
export interface Spec {
  readonly dim: number;
  readonly kinds: readonly Kind[];
  readonly k: number;
  readonly chooses: Chooses;
  readonly gate: "softmax" | "chosen" | "sigmoid";
  readonly renormalize: boolean;
  readonly scale: number;
  readonly groups: number;
  readonly open: number;
  /** Whether only the best 60% of the tokens go through the mixture. */
  readonly routed: boolean;
  readonly shared: boolean;
  readonly balance: number;
  readonly z: number;
}

export type Mistake = "softmax of all" | "sum of gates" | "last token" | "compacted positions" | "higher index";

export const HEADS = 2;
export const HIDDEN = 5;
/** The threshold of `above`, and the shares of tokens that an expert takes, has room for, and that are routed. */
export const ABOVE = 0.2;
export const SHARE = 0.4;
export const ROUTED = 0.6;

type Row = readonly number[];
export interface Values {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}
/** Weights by path. */
export type Numbers = ReadonlyMap<string, Values>;

interface Token {
  readonly x: Row;
  readonly position: number;
}

/**
 * The output of each sequence, the objective (the mean of y² + y, and the losses of the mixture), and the experts of
 * every token as text.
 */
export function account(
  spec: Spec,
  weights: Numbers,
  sequences: readonly (readonly Row[])[],
  mistake: Mistake | null = null,
): { readonly outputs: readonly (readonly Row[])[]; readonly loss: number; readonly choices: string } {
  const mixture = new Mixture(spec, weights, mistake);
  const outputs = sequences.map((rows) => mixture.update(rows));
  const all = outputs.flat(2);
  const square = all.reduce((sum, y) => sum + y * y + y, 0) / Math.max(all.length, 1);
  return { outputs, loss: square + mixture.losses(), choices: mixture.choices() };
}

class Mixture {
  /** The logits and the chosen experts for every token that reached the mixture. */
  readonly #seen: { readonly logits: Row; readonly chosen: ReadonlySet<number> }[] = [];

  constructor(
    readonly spec: Spec,
    readonly weights: Numbers,
    readonly mistake: Mistake | null,
  ) {}

  /** x + mixture(x) for the tokens that go through it. */
  update(rows: readonly Row[]): readonly Row[] {
    const all = rows.map((x, position) => ({ x, position }));
    const scores = rows.map((x) => x[0]!);
    const taken = this.spec.routed
      ? all.filter((_, t) => rankOf(scores, t) < Math.ceil(exact(ROUTED * rows.length)))
      : all;
    const updates = this.#mixed(taken);
    return rows.map((x, t) => {
      const place = taken.findIndex(({ position }) => position === t);
      const [own] = place < 0 ? [] : [updates[place]!];
      return own ? x.map((v, d) => v + own[d]!) : x;
    });
  }

  choices(): string {
    return this.#seen.map(({ chosen }) => [...chosen].join()).join(";");
  }

  /** Switch's loss of balance and the z-loss, over all tokens of all sequences. */
  losses(): number {
    const { balance, z, kinds } = this.spec;
    const n = this.#seen.length;
    if (n === 0) return 0;
    const shares = kinds.map((_, e) => this.#seen.filter(({ chosen }) => chosen.has(e)).length / n);
    const means = kinds.map((_, e) => this.#seen.reduce((sum, { logits }) => sum + softmax(logits)[e]!, 0) / n);
    const even = shares.reduce((sum, share, e) => sum + share * means[e]!, 0);
    const large = this.#seen.reduce((sum, { logits }) => sum + logSum(logits) ** 2, 0) / n;
    return balance * kinds.length * even + z * large;
  }

  /** The update of each token: the gated sum of its experts, and the shared network's. */
  #mixed(tokens: readonly Token[]): readonly Row[] {
    const { spec } = this;
    const logits = tokens.map(({ x }) => linear(this.weights, "moe.router", x));
    const scores = logits.map((row) =>
      spec.gate === "sigmoid" ? row.map(sigmoid) : spec.gate === "softmax" ? softmax(row) : row,
    );
    const chosen = this.#chosen(scores);
    logits.forEach((row, t) => this.#seen.push({ logits: row, chosen: new Set(chosen[t]) }));
    const gates = scores.map((row, t) => this.#gates(row, chosen[t]!));
    const sums = tokens.map(({ x }) => x.map(() => 0));
    spec.kinds.forEach((kind, e) => {
      let own = tokens.flatMap((token, t) => (chosen[t]!.includes(e) ? [{ token, t }] : []));
      if (this.mistake === "last token") own = own.filter((_, i) => i === 0 || i < own.length - 1);
      const made = this.#expert(
        kind,
        `moe.experts.${e}`,
        own.map(({ token }) => token),
      );
      own.forEach(({ t }, i) => {
        const gate = gates[t]![chosen[t]!.indexOf(e)]!;
        sums[t] = sums[t]!.map((v, d) => v + gate * made[i]![d]!);
      });
    });
    if (!spec.shared) return sums;
    const shared = tokens.map(({ x }) => swiglu(this.weights, "shared", x));
    return sums.map((row, t) => row.map((v, d) => v + shared[t]![d]!));
  }

  /** The experts of each token, ascending. */
  #chosen(scores: readonly Row[]): readonly (readonly number[])[] {
    const { kinds, chooses, k } = this.spec;
    const experts = kinds.map((_, e) => e);
    const of = (row: Row): readonly number[] => {
      const open = this.#open(row);
      return experts.filter((e) => this.#rank(open, e) < k);
    };
    if (chooses === "above") return scores.map((row) => experts.filter((e) => row[e]! > ABOVE));
    const room = Math.ceil(exact(SHARE * scores.length));
    if (chooses === "experts")
      return scores.map((_, t) =>
        experts.filter(
          (e) =>
            rankOf(
              scores.map((row) => row[e]!),
              t,
            ) < room,
        ),
      );
    const wish = scores.map(of);
    if (chooses === "best") return wish;
    // By order of position: the first tokens that wish for an expert have room.
    return wish.map((own, t) => own.filter((e) => wish.slice(0, t).filter((other) => other.includes(e)).length < room));
  }

  /** Scores, lowered in the groups that are closed to this token. */
  #open(row: Row): Row {
    const { groups, open } = this.spec;
    if (open >= groups) return row;
    const size = row.length / groups;
    const worth = Array.from({ length: groups }, (_, g) => {
      const [first, second] = row.slice(g * size, (g + 1) * size).toSorted((a, b) => b - a);
      return first! + second!;
    });
    return row.map((s, e) => (rankOf(worth, Math.floor(e / size)) < open ? s : -1e30));
  }

  #rank(row: Row, e: number): number {
    if (this.mistake !== "higher index") return rankOf(row, e);
    return row.filter((s, o) => s > row[e]! || (s === row[e] && o > e)).length;
  }

  #gates(row: Row, chosen: readonly number[]): Row {
    const { gate, renormalize, scale } = this.spec;
    const own = chosen.map((e) => row[e]!);
    const all = softmax(row);
    const gates =
      gate === "chosen" ? (this.mistake === "softmax of all" ? chosen.map((e) => all[e]!) : softmax(own)) : own;
    const sum = gates.reduce((a, b) => a + b, 0) + 1e-20;
    return gates.map((w) => scale * (renormalize && this.mistake !== "sum of gates" ? w / sum : w));
  }

  #expert(kind: Kind, path: string, tokens: readonly Token[]): readonly Row[] {
    switch (kind) {
      case "swiglu":
        return tokens.map(({ x }) => swiglu(this.weights, path, x));
      case "gelu":
        return tokens.map(({ x }) =>
          linear(
            this.weights,
            `${path}.down`,
            linear(this.weights, `${path}.up`, x).map((v) => v * normal(v)),
          ),
        );
      case "attention":
        return attention(
          this.weights,
          path,
          this.mistake === "compacted positions" ? tokens.map(({ x }, position) => ({ x, position })) : tokens,
        );
      case "nothing":
        return tokens.map(({ x }) => x.map(() => 0));
      case "same":
        return tokens.map(({ x }) => x);
      default:
        return kind satisfies never;
    }
  }
}

/** 0.4 · 5 is 2, not a little more: shares are exact in the language. */
const exact = (count: number): number => Math.round(count * 1e9) / 1e9;

/** How many are better than number i; of equals the earlier is. */
const rankOf = (scores: Row, i: number): number =>
  scores.filter((s, o) => s > scores[i]! || (s === scores[i] && o < i)).length;

const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));

function softmax(row: Row): Row {
  const total = logSum(row);
  return row.map((v) => Math.exp(v - total));
}

function logSum(row: Row): number {
  const most = Math.max(...row);
  return most + Math.log(row.reduce((sum, v) => sum + Math.exp(v - most), 0));
}

/** Φ(v), by the series of the error function. */
export function normal(v: number): number {
  const x = v / Math.SQRT2;
  if (Math.abs(x) > 6) return x > 0 ? 1 : 0;
  let [term, sum] = [x, x];
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return 0.5 * (1 + (2 / Math.sqrt(Math.PI)) * sum);
}

/** weight · x + bias, with a bias where there is one. */
function linear(weights: Numbers, path: string, x: Row): Row {
  const { shape, data } = weights.get(`${path}.weight`)!;
  const bias = weights.get(`${path}.bias`)?.data;
  const width = shape[1]!;
  return Array.from({ length: shape[0]! }, (_, o) =>
    x.reduce((sum, v, i) => sum + v * data[o * width + i]!, bias?.[o] ?? 0),
  );
}

function swiglu(weights: Numbers, path: string, x: Row): Row {
  const [gate, up] = [linear(weights, `${path}.gate`, x), linear(weights, `${path}.up`, x)];
  return linear(
    weights,
    `${path}.down`,
    gate.map((g, i) => g * sigmoid(g) * up[i]!),
  );
}

/** Causal attention with rotary positions among the given tokens. */
function attention(weights: Numbers, path: string, tokens: readonly Token[]): readonly Row[] {
  const project = (name: string): Row[] => tokens.map(({ x }) => linear(weights, `${path}.${name}`, x));
  const [q, k, v] = [project("q"), project("k"), project("v")];
  const width = (q[0]?.length ?? 0) / HEADS;
  const turned = (row: Row, position: number): Row =>
    row.map((value, i) => {
      const c = i % width;
      const half = width / 2;
      const angle = position * 10000 ** ((-2 * (c % half)) / width);
      const other = row[c < half ? i + half : i - half]!;
      return value * Math.cos(angle) + (c < half ? -other : other) * Math.sin(angle);
    });
  const [queries, keys] = [q, k].map((rows) => rows.map((row, i) => turned(row, tokens[i]!.position)));
  return tokens.map((_, i) => {
    const heads = Array.from({ length: HEADS }, (_head, h) => {
      const columns = Array.from({ length: width }, (_column, c) => h * width + c);
      const scores = keys!
        .slice(0, i + 1)
        .map((key) => columns.reduce((sum, c) => sum + queries![i]![c]! * key[c]!, 0) / Math.sqrt(width));
      const shares = softmax(scores);
      return columns.map((c) => shares.reduce((sum, share, j) => sum + share * v[j]![c]!, 0));
    });
    return linear(weights, `${path}.o`, heads.flat());
  });
}
