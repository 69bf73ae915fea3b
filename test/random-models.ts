// Random valid programs of the language, seeded: source text that uses most features, and inputs for it.
import * as fc from "fast-check";
import { layer, pick, type Layer, type Sizes } from "./random-layers.js";

export interface RandomInput {
  readonly name: string;
  readonly dtype: "u32" | "f32";
  /** `["B", "T"]`, `["B", "T", 3]`. */
  readonly shape: readonly (string | number)[];
  /** Whole values lie below this. */
  readonly below: number | null;
  /** Whether only the objective takes it. */
  readonly objective: boolean;
}

export interface RandomModel {
  readonly source: string;
  readonly inputs: readonly RandomInput[];
  /** The most tokens a sequence may have. */
  readonly context: number;
  /** Whether every token depends on earlier ones only, so that phase `generate` accepts it. */
  readonly causal: boolean;
  /** The names of the results that `forward` returns. */
  readonly outputs: readonly string[];
  /** Live parameters and a value for each that differs from its default. */
  readonly live: readonly { readonly name: string; readonly value: string }[];
}

const sizes: fc.Arbitrary<Sizes> = fc
  .tuple(pick(1, 2, 4), pick(2, 4), fc.boolean())
  .map(([heads, width, grouped]) => ({ heads, kv: grouped && heads > 1 ? heads / 2 : heads, dim: heads * width }));

/**
 * Models of one to four layers over bytes or over vectors, with an objective, some in lists, comprehensions or shared.
 */
export const randomModel: fc.Arbitrary<RandomModel> = sizes.chain((s) =>
  fc
    .record({
      layers: fc.array(layer(s), { minLength: 1, maxLength: 4 }),
      repeat: pick(1, 2),
      vocab: fc.integer({ min: 3, max: 9 }),
      context: fc.integer({ min: 4, max: 12 }),
      vectors: fc.boolean(),
      tied: fc.boolean(),
      pooled: fc.boolean(),
    })
    .map((choice) => text(s, choice)),
);

interface Choice {
  readonly layers: readonly Layer[];
  readonly repeat: number;
  readonly vocab: number;
  readonly context: number;
  readonly vectors: boolean;
  readonly tied: boolean;
  readonly pooled: boolean;
}

function text({ dim, heads }: Sizes, { layers, repeat, vocab, context, vectors, tied, pooled }: Choice): RandomModel {
  const lives = [...new Map(layers.flatMap((l) => (l.live ? [[l.live.name, l.live] as const] : []))).values()];
  const made = layers.map((l, id) => l.make(id));
  const list =
    repeat === 1
      ? `[${made.join(", ")}]`
      : `[for i in 0..${repeat}: if i == 0 then [${made.join(", ")}] else [${made.join(", ")}]]`;
  const loop =
    repeat === 1
      ? "for layer in layers { x = layer(x) }"
      : "for group in layers { for layer in group { x = layer(x) } }";
  const names = [
    ...new Set([
      "Attention",
      "Embedding",
      "GeluMLP",
      "Layer",
      "LayerNorm",
      "Linear",
      "MoD",
      "RMSNorm",
      "Residual",
      "SwiGLU",
    ]),
  ];
  const input = vectors ? `x: f32[B, T <= context, 3]` : `tokens: u32[B, T <= context]`;
  const argument = vectors ? "x" : "tokens";
  const head = tied && !vectors ? "norm(x) @ transpose(embed.table)" : "head(norm(x))";
  const result = pooled ? `-> (logits: f32[B, T, vocab], pooled: f32[B, dim])` : `-> logits: f32[B, T, vocab]`;
  const source = `// A program made at random.
import { ${names.join(", ")} } from "std"
const widest = max(${vocab}, 2)
${layers.map((l, id) => l.declare(id)).join("\n")}

/// A random model.
model Random(
  vocab: int = widest, dim: int = ${dim}, heads: int = ${heads}, context: int = ${context},${lives.map((l) => `\n  live ${l.name}: ratio = ${l.default},`).join("")}
) {
  ${vectors ? "embed: Linear(3, dim)" : "embed: Embedding(vocab, dim)"}
  layers: ${list}
  norm: RMSNorm(dim)
  ${tied && !vectors ? "" : "head: Linear(dim, vocab, bias: false)"}

  forward(${input}) ${result} {
    x = embed(${argument})
    ${loop}
    logits = ${head}
    ${pooled ? "[logits, mean(x, axis: 1)]" : "logits"}
  }

  objective(${input}, targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(${argument})${pooled ? ".logits" : ""}, targets)
  }
}
`;
  return {
    source,
    inputs: [
      vectors
        ? { name: "x", dtype: "f32", shape: ["B", "T", 3], below: null, objective: false }
        : { name: "tokens", dtype: "u32", shape: ["B", "T"], below: vocab, objective: false },
      { name: "targets", dtype: "u32", shape: ["B", "T"], below: vocab, objective: true },
    ],
    context,
    causal: !pooled && layers.every((l) => l.causal),
    outputs: pooled ? ["logits", "pooled"] : ["logits"],
    live: lives.map(({ name, value }) => ({ name, value })),
  };
}
