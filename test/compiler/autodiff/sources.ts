// Small models for tests of gradients: each small, each with something that gradients must get right.
import { exampleSource } from "./models.js";

export interface ModelCase {
  readonly name: string;
  readonly source: string;
  readonly set: Readonly<Record<string, string>>;
}

const body = (
  layers: string,
  head = "norm(x) @ transpose(embed.table)",
  more = "",
): string => `import { Embedding, Layer, Linear, MoD, Residual, RMSNorm, SwiGLU } from "std"

model Small(vocab: int = 11, dim: int = 8, heads: int = 2, context: int = 8) {
  embed: Embedding(vocab, dim)
  layers: [${layers}]
  norm: RMSNorm(dim)
  ${more}

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    ${head}
  }

  objective(tokens: u32[B, T <= context], targets: i32[B, T]) { loss next = cross_entropy(forward(tokens), targets) }
}`;

/** A Mixture-of-Depths block with the score written as given. */
const scored = (score: string): string => `import { Embedding, Layer, Linear, RMSNorm } from "std"

block Routed(inner: block, dim: int) {
  router: Linear(dim, 1, bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = ${score}
    chosen = top(score, ceil(50% * T))
    put(x, chosen, inner(take(x, chosen)) * take(score, chosen)[..., None])
  }
}

model Small(vocab: int = 11, dim: int = 8, context: int = 8) {
  embed: Embedding(vocab, dim)
  layer: Routed(Layer(dim, 2), dim)
  norm: RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] { norm(layer(embed(tokens))) @ transpose(embed.table) }
  objective(tokens: u32[B, T <= context], targets: i32[B, T]) { loss next = cross_entropy(forward(tokens), targets) }
}`;

/** A block around another, written as given, between an embedding and its transpose. */
const around = (forward: string): string => `import { Embedding, Layer, Linear, RMSNorm } from "std"

block Routed(inner: block, dim: int) {
  router: Linear(dim, 1, bias: false)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = router(x)[..., 0]
    ${forward}
  }
}

model Small(vocab: int = 11, dim: int = 8, context: int = 8) {
  embed: Embedding(vocab, dim)
  layer: Routed(Layer(dim, 2), dim)
  norm: RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] { norm(layer(embed(tokens))) @ transpose(embed.table) }
  objective(tokens: u32[B, T <= context], targets: i32[B, T]) { loss next = cross_entropy(forward(tokens), targets) }
}`;

export const ROUTED = scored("router(x)[..., 0]");

/** mor.mod has no objective; this one predicts the next token. */
const morObjective = (): string => {
  const text = exampleSource("mor.mod").trimEnd();
  return `${text.slice(0, -1)}
  objective(tokens: u32[B, T <= context], targets: u32[B, T]) { loss next = cross_entropy(forward(tokens), targets) }
}`;
};

export const MODELS: readonly ModelCase[] = [
  {
    name: "dense, the embedding tied",
    source: body('Residual(Layer(dim, heads)), Residual(Layer(dim, heads, kv_heads: 1, mlp: "gelu", window: 3))'),
    set: {},
  },
  {
    name: "a head of its own",
    source: body("Residual(SwiGLU(dim, 12))", "head(norm(x))", "head: Linear(dim, vocab, bias: true)"),
    set: {},
  },
  {
    name: "routed layers with predictors",
    source: body(
      "Residual(Layer(dim, heads)), MoD(Layer(dim, heads), dim, 50%), MoD(Layer(dim, heads), dim, 25%, gate: " +
        '"sigmoid")',
    ),
    set: {},
  },
  { name: "a routed layer without a predictor", source: ROUTED, set: {} },
  { name: "random scores", source: scored("random_normal(like: router(x)[..., 0])"), set: {} },
  {
    name: "a mask with the slope of its sigmoid",
    source: around(`run = top(score, ceil(50% * T))
    x + inner(x) * straight(run.mask, sigmoid(score))[..., None]`),
    set: {},
  },
  {
    name: "those that a route left, in a sum that begins with zeros",
    source: around(`run = top(score, ceil(50% * T))
    rest = those(not run.mask)
    some = put(zeros(like: x), run, inner(take(x, run)) * take(score, run)[..., None])
    x + put(some, rest, inner(take(x, rest)) * take(1 - score, rest)[..., None])`),
    set: {},
  },
  {
    name: "those of two masks, gated by a hard number",
    source: around(`run = those(score > 0.0 or position(x) < 1)
    put(x, run, inner(take(x, run)) * take(straight(f32(i32(4 * score)), tanh(score)), run)[..., None])`),
    set: {},
  },
  {
    name: "keys that weigh what a mask with a slope says",
    source: around(`run = top(score, ceil(50% * T))
    m = straight(run.mask, sigmoid(score))
    n = straight(0.25 + f32(run.mask), sigmoid(score))
    q = rearrange(inner.attn.q(x), "b t (h d) -> b h t d", h: 2)
    k = rearrange(inner.attn.k(x), "b t (h d) -> b h t d", h: 2)
    v = rearrange(inner.attn.v(x), "b t (h d) -> b h t d", h: 2)
    y = inner.attn.o(rearrange(attention(q, k, v, causal: true, weight: n), "b h t d -> b t (h d)"))
    x + y * m[..., None]`),
    set: {},
  },
  {
    name: "keys that weigh more or less",
    source: around(`heads = rearrange(x, "b t (h d) -> b h t d", h: 2)
    y = attention(heads, heads, heads, causal: true, weight: exp(score))
    x + inner(x) + rearrange(y, "b h t d -> b t (h d)")`),
    set: {},
  },
  {
    name: "dropout, its random values made again",
    source: body("Dropped(SwiGLU(dim, 12)), Residual(Layer(dim, heads))").replace(
      "model Small",
      "block Dropped(inner: block) {\n  forward(x: f32[...]) -> f32[...] { x + dropout(inner(dropout(x, 0.25)), " +
        "0.25) }\n}\n\nmodel Small",
    ),
    set: {},
  },
  {
    name: "the example 'moby'",
    source: exampleSource("moby.mod"),
    set: { vocab: "13", dim: "8", heads: "2", depth: "2", context: "8", capacity: "50%" },
  },
  {
    name: "the example 'llama'",
    source: exampleSource("llama.mod"),
    set: { vocab: "13", dim: "8", heads: "2", kv_heads: "1", hidden: "12", depth: "2", context: "8" },
  },
  {
    name: "the example 'mor', layers shared",
    source: morObjective(),
    set: { vocab: "13", dim: "8", heads: "2", kv_heads: "1", hidden: "12", layers: "1", recursions: "2", context: "8" },
  },
  {
    name: "the example 'mor', keys shared too",
    source: morObjective(),
    set: {
      vocab: "13",
      dim: "8",
      heads: "2",
      kv_heads: "1",
      hidden: "12",
      layers: "1",
      recursions: "3",
      context: "8",
      share_kv: "true",
    },
  },
];
