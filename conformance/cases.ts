// The cases of the conformance suite: what each is about, and how its scores come about.
import { random, type Random } from "../bench/random.js";

export interface ConformanceCase {
  readonly name: string;
  /** Of its inputs and weights. */
  readonly seed: number;
  /** The laws of README.md that it tries. */
  readonly laws: readonly number[];
  /** `train`: by top-k; `generate`: by the causal rule, whole and token by token. */
  readonly kind: "train" | "generate";
  readonly tokens: number;
  readonly lengths: readonly number[] | null;
  /** As a share, exactly. */
  readonly capacity: { readonly numerator: number; readonly denominator: number };
  readonly gate: "raw" | "sigmoid" | "identity";
  /** Scores of the tokens, [B, T], where they are given: then the router reads the first column alone. */
  readonly scores?: (rng: Random) => readonly number[];
  /** The predictor selects a fair share of the tokens, or none. */
  readonly predictor?: "fair" | "none";
}

const BATCH = 2;
const eighth = { numerator: 1, denominator: 8 };
const half = { numerator: 1, denominator: 2 };
const many = <T>(count: number, value: (i: number) => T): readonly T[] =>
  Array.from({ length: count }, (_, i) => value(i));
const train = { kind: "train", lengths: null, capacity: half, gate: "raw" } as const;

export const CASES: readonly ConformanceCase[] = [
  { ...train, name: "equation", seed: 1, laws: [1, 4, 5, 6, 10], tokens: 24 },
  { ...train, name: "an-eighth", seed: 2, laws: [1, 2], tokens: 20, capacity: eighth },
  { ...train, name: "a-little-over", seed: 13, laws: [2], tokens: 17, capacity: eighth },
  { ...train, name: "one-token", seed: 3, laws: [2], tokens: 1, capacity: eighth },
  { ...train, name: "all-tokens", seed: 4, laws: [1, 2], tokens: 12, capacity: { numerator: 1, denominator: 1 } },
  { ...train, name: "ties", seed: 5, laws: [3], tokens: 20, scores: (rng) => many(BATCH * 20, () => rng.below(3) + 1) },
  {
    ...train,
    name: "not-a-number",
    seed: 6,
    laws: [3],
    tokens: 12,
    scores: (rng) => many(BATCH * 12, (i) => (i % 5 === 2 ? NaN : rng.normal())),
  },
  {
    ...train,
    name: "unlike-sequences",
    seed: 7,
    laws: [1],
    tokens: 16,
    scores: (rng) => many(BATCH * 16, (i) => rng.normal() + (i < 16 ? 0 : 8)),
  },
  {
    ...train,
    name: "ragged",
    seed: 8,
    laws: [2, 9, 10],
    tokens: 20,
    lengths: [20, 13],
    capacity: eighth,
    // What lies behind a sequence's end has the best scores.
    scores: (rng) => many(BATCH * 20, (i) => rng.normal() + (i >= 33 ? 8 : 0)),
  },
  { ...train, name: "sigmoid", seed: 9, laws: [5], tokens: 16, gate: "sigmoid" },
  { ...train, name: "identity", seed: 10, laws: [5], tokens: 16, gate: "identity" },
  { ...train, name: "causal-rule", seed: 15, laws: [7, 8], kind: "generate", tokens: 24, predictor: "fair" },
  { ...train, name: "none", seed: 12, laws: [7, 8], kind: "generate", tokens: 12, predictor: "none" },
];

export interface Drawn {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Inputs and weights of a case. */
export function drawn(
  { seed, tokens, scores, predictor }: ConformanceCase,
  shapes: ReadonlyMap<string, readonly number[]>,
): { readonly x: Drawn; readonly probe: Drawn; readonly weights: ReadonlyMap<string, Drawn> } {
  const rng = random(seed);
  const dim = shapes.get("shift")![0]!;
  const normal = (shape: readonly number[], scale: number, centre = 0): Drawn => ({
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => centre + scale * rng.normal()),
  });
  const x = normal([BATCH, tokens, dim], 1);
  const probe = normal(x.shape, 1);
  const weights = new Map(
    [...shapes].map(([path, shape]) => {
      const norm = path.endsWith("norm.weight");
      return [path, normal(shape, norm ? 0.2 : 1 / Math.sqrt(shape.at(-1)!), norm ? 1 : 0)];
    }),
  );
  if (scores) {
    scores(rng).forEach((score, i) => (x.data[i * dim] = score));
    weights.get("layer.router.weight")!.data.fill(0).fill(1, 0, 1);
    weights.get("shift")!.data[0] = 0;
  }
  if (predictor === "fair") {
    const down = weights.get("layer.guess.down.weight")!.data;
    down.forEach((value, i) => (down[i] = 4 * value));
    weights.get("layer.guess.down.bias")!.data.fill(0);
  }
  if (predictor === "none") weights.get("layer.guess.down.bias")!.data.fill(-100);
  return { x, probe, weights };
}
