// Small language models of every kind of routing that phase generate accepts.

/** A model of 13 tokens with such members, whose `x` such statements make of embedded tokens. */
export const LM = (imports: string, members: string, layers: string, context = 24): string => `
import { Attention, Embedding, GeluMLP, Layer, Linear, MoD, Predictor, Residual, RMSNorm } from "std"
${imports}
model Tiny(vocab: int = 13, dim: int = 16) {
  embed: Embedding(vocab, dim)
  ${members}
  norm: RMSNorm(dim)
  forward(tokens: u32[B, T <= ${context}]) -> f32[B, T, vocab] {
    x = embed(tokens)
    ${layers}
    norm(x) @ transpose(embed.table)
  }
}
`;

/** A routed layer whose rule is given: which tokens it takes. */
const RULED = (rule: string): string => `
block Ruled(inner: block, dim: int) {
  guess: Predictor(dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    likely = guess(x)[..., 0]
    chosen = above(likely, ${rule})
    put(x, chosen, inner(take(x, chosen)))
  }
}`;

const NESTED = `
block Inner(dim: int) {
  attn: Attention(dim, 2)
  deep: MoD(Attention(dim, 2), dim, 50%)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { deep(x) - x + attn(x) }
}`;

/** Noise by position, and a layer that looks at positions. */
const PLACED = `
block Placed(dim: int) {
  inner: Attention(dim, 2)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    inner(x + 0.1 * random_normal(like: x) + sin(f32(position(x)))[..., None])
  }
}`;

/** Keys and values that are both computed of one projection. */
const SHARED = `
block Shared(dim: int) {
  q: Linear(dim, dim)
  k: Linear(dim, dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    one = k(x)
    queries = rope(rearrange(q(x), "b t (h d) -> b h t d", h: 2), 10000.0)
    keys = rope(rearrange(relu(one), "b t (h d) -> b h t d", h: 2), 10000.0)
    values = rearrange(sigmoid(one), "b t (h d) -> b h t d", h: 2)
    rearrange(attention(queries, keys, values, causal: true), "b h t d -> b t (h d)")
  }
}`;

/** Products whose right side alone has the tokens, as columns: a matrix, a matrix of each head, a vector. */
const LEFT = `
block Left(dim: int) {
  weight u: f32[dim, dim]
  weight heads: f32[2, dim / 2, dim / 2]
  weight v: f32[dim]
  inner: Attention(dim, 2)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    mixed = transpose(u @ transpose(x))
    each = rearrange(heads @ rearrange(x, "b t (h d) -> b h d t", h: 2), "b h d t -> b t (h d)")
    inner(mixed + each) * sigmoid(v @ transpose(x))[..., None]
  }
}`;

/** Attention whose keys weigh more or less; and one whose keys are those of a route, with queries of the same. */
const WEIGHTED = (body: string): string => `
block Weighted(dim: int) {
  q: Linear(dim, dim)
  k: Linear(dim, dim)
  router: Linear(dim, 1)
  guess: Predictor(dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    queries = rope(rearrange(q(x), "b t (h d) -> b h t d", h: 2), 10000.0)
    keys    = rope(rearrange(k(x), "b t (h d) -> b h t d", h: 2), 10000.0)
    score   = router(x)[..., 0]
    ${body}
    rearrange(attention(queries, keys, keys, causal: true, weight: weight), "b h t d -> b t (h d)") * gate[..., None]
  }
}`;

/** Attention with a mask and a bias: kinds of tokens, a cap, forget gates of heads, a table of distances, a sink. */
const PAIRED = `
block Paired(dim: int) {
  q: Linear(dim, dim)
  k: Linear(dim, dim / 2)
  gate: Linear(dim, 2)
  weight near: f32[6, 2]
  weight sink: f32[2]
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    queries = rearrange(q(x), "b t (h d) -> b h t d", h: 2)
    keys = rearrange(k(x), "b t d -> b 1 t d")
    kind = x[..., 0] > x[..., 1]
    c = rearrange(gate(x), "b t h -> b h t")
    at = position(x)
    gap = min(at[:, :, None] - min(at[:, None, :], at[:, :, None]), 5)
    mask = kind[:, :, None] == kind[:, None, :] or at[:, None, :] < 2
    bias = c[..., :, None] - c[..., None, :] + rearrange(near[gap], "b t s h -> b h t s")
    seen = attention(queries, keys, keys, causal: true, cap: 2.0, mask: mask, bias: bias)
    share = sigmoid(mass(queries, keys, causal: true, cap: 2.0, mask: mask, bias: bias) - sink[:, None])
    rearrange(seen * share[..., None], "b h t d -> b t (h d)")
  }
}`;

export const MODELS: Readonly<Record<string, string>> = {
  dense: LM(
    "",
    "layers: [for i in 0..2: Residual(Layer(dim, 4, kv_heads: 2, hidden: 24))]",
    "for layer in layers { x = layer(x) }",
  ),
  "mixture of depths": LM(
    "",
    "layers: [for i in 0..4: if i % 2 == 1 then MoD(Layer(dim, 2, hidden: 24), dim, 50%) else " +
      "Residual(Layer(dim, 2, hidden: 24))]",
    "for layer in layers { x = layer(x) }",
  ),
  "every layer routed": LM(
    "",
    "layers: [for i in 0..3: MoD(Layer(dim, 2, hidden: 24), dim, 50%)]",
    "for layer in layers { x = layer(x) }",
  ),
  "routes that take nothing": LM(
    RULED("1000.0"),
    "one: Ruled(Layer(dim, 2), dim)\n  two: Residual(Layer(dim, 2))",
    "x = two(one(x))",
  ),
  "routes that take everything": LM(
    RULED("-1000.0"),
    "one: Ruled(Layer(dim, 2), dim)\n  two: Residual(Layer(dim, 2))",
    "x = two(one(x))",
  ),
  "nested routes": LM(NESTED, "outer: MoD(Inner(dim), dim, 50%)", "x = outer(x)"),
  "one block called twice": LM("", "shared: MoD(Layer(dim, 2, hidden: 24), dim, 25%)", "x = shared(shared(x))"),
  "windows of attention": LM(
    "",
    "one: Residual(Attention(dim, 2, window: 3))\n  two: MoD(Attention(dim, 2, window: 5), dim, 50%)",
    "x = two(one(x))",
  ),
  "routed work without attention": LM(
    "",
    "one: MoD(GeluMLP(dim, 32), dim, 50%)\n  two: Residual(Attention(dim, 2))",
    "x = two(one(x))",
  ),
  "keys and values of one projection": LM(
    SHARED,
    "one: Residual(Shared(dim))\n  two: MoD(Shared(dim), dim, 50%)",
    "x = two(one(x))",
  ),
  "weights of keys": LM(
    WEIGHTED("weight = relu(score)\n gate = score"),
    "one: Residual(Weighted(dim))\n  two: MoD(Weighted(dim), dim, 50%)",
    "x = two(one(x))",
  ),
  "keys of those that ran": LM(
    WEIGHTED(
      "run = those(score > 0.5 or position(x) < 2)\n weight = straight(run.mask, sigmoid(score))\n gate = weight",
    ),
    "one: Residual(Weighted(dim))\n  two: Residual(Weighted(dim))",
    "x = two(one(x))",
  ),
  "products from the left": LM(LEFT, "one: Residual(Left(dim))\n  two: MoD(Left(dim), dim, 50%)", "x = two(one(x))"),
  "pairs of tokens": LM(PAIRED, "one: Residual(Paired(dim))\n  two: MoD(Paired(dim), dim, 50%)", "x = two(one(x))"),
  "values among the keys": LM(
    'import { MLA } from "std"',
    "one: Residual(MLA(dim, 2, latent: 6, plain: 4, rotated: 2, value_dim: 3))\n" +
      "  two: MoD(MLA(dim, 2, latent: 5, query_latent: 4, plain: 4, rotated: 2, value_dim: 3), dim, 50%)",
    "x = two(one(x))",
  ),
  "noise and positions": LM(PLACED, "one: Residual(Placed(dim))\n  two: MoD(Placed(dim), dim, 50%)", "x = two(one(x))"),
};

/** Blocks with recurrences. */
export const RECURRENT = `
block Conv(dim: int) {
  weight weight: f32[dim, 3]
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    silu(x * weight[:, 0] + earlier(x, 1) * weight[:, 1] + earlier(x, 2) * weight[:, 2])
  }
}
block Delta(dim: int, heads: int) {
  q: Linear(dim, dim)
  k: Linear(dim, dim)
  v: Linear(dim, dim)
  rate: Linear(dim, heads)
  conv: Conv(dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    u = conv(x)
    keys = rearrange(k(u), "b t (h d) -> b h t d", h: heads)
    unit = keys * rsqrt(sum(keys ^ 2, axis: -1, keep: true) + 0.01)
    g = -softplus(rearrange(rate(x), "b t h -> b h t"))
    y = linear_attention(rearrange(q(u), "b t (h d) -> b h t d", h: heads), unit,
      rearrange(v(u), "b t (h d) -> b h t d", h: heads), log_decay: g, forget: 0.5 * unit,
      at: exp(g)[..., None] * unit, scale: 0.3)
    rearrange(y, "b h t d -> b t (h d)")
  }
}
block Held(dim: int) {
  weight score: f32[dim]
  inner: Linear(dim, dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    r = above(x @ score, 0.3)
    scan(put(zeros(like: x), r, inner(take(x, r))), fresh: r.mask)
  }
}
block Rates(dim: int) {
  weight rate: f32[dim]
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { x + scan(x, log_decay: -softplus(rate)) }
}`;

/** Rows before, which several calls and blocks read of the same values. */
const SHIFTED = `
block Mixed(dim: int) {
  weight near: f32[dim]
  weight far: f32[dim]
  mix: Linear(dim, dim)
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { x + tanh(mix(earlier(x, 1) * near + earlier(x, 4) * far)) }
}
block Split(dim: int) {
  weight weight: f32[dim / 2, 3]
  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    heads = rearrange(x, "b t (h d) -> b h t d", h: 2)
    y = sin(earlier(heads, 2) * weight[:, 0] + earlier(heads, 5) * weight[:, 1] - earlier(heads, 1) * weight[:, 2])
    rearrange(y, "b h t d -> b t (h d)")
  }
}`;

/** Models with recurrences. */
export const RECURRENT_MODELS: Readonly<Record<string, string>> = {
  "a delta rule behind a short convolution": LM(RECURRENT, "delta: Delta(dim, 2)", "x = x + delta(x)"),
  "a routed delta rule beside attention": LM(
    RECURRENT,
    "delta: Delta(dim, 2)\n  attn: Attention(dim, 2)\n  weight score: f32[dim]",
    "r = above(x @ score, 0.2)\n    x = put(x, r, delta(take(x, r)))\n    x = x + attn(x)",
  ),
  "a hybrid with a routed layer of each": LM(
    RECURRENT,
    `delta: Delta(dim, 2)
  attn: Residual(Layer(dim, 2, hidden: 24))
  inner: Delta(dim, 4)
  guess: Predictor(dim)
  deep: MoD(Layer(dim, 2, hidden: 24), dim, 50%)
  rates: Rates(dim)`,
    `x = attn(x + delta(x))
    r = above(guess(x)[..., 0], 0.0, expected: 50%)
    x = put(x, r, inner(take(x, r)))
    x = rates(deep(x))`,
  ),
  "sums that decay": LM(RECURRENT, "rates: Rates(dim)", "x = rates(x)"),
  "the latest row of a route, held": LM(RECURRENT, "held: Held(dim)", "x = x + held(x)"),
  "rows before, read by several calls": LM(
    SHIFTED,
    "one: Mixed(dim)\n  two: Split(dim)\n  weight last: f32[dim]",
    `again = f32(earlier(tokens, 3) == tokens and earlier(tokens, 1) != tokens)
    x = one(x) + two(x) + earlier(x, 2) * last * (1.0 + again[..., None])`,
  ),
  "rows before, on both sides of a route": LM(
    SHIFTED,
    "inner: Split(dim)\n  attn: Attention(dim, 2)\n  weight score: f32[dim]\n  weight first: f32[dim]",
    `x = x + earlier(x, 1) * first
    y = x + earlier(x, 2) * first
    r = above(x @ score, 0.1)
    x = put(x, r, inner(take(x, r)))
    x = y + x + earlier(x, 3) * first
    x = x + attn(x)`,
  ),
  "a decay for the time that passes": LM(
    RECURRENT,
    "weight score: f32[dim]\n  weight rate: f32[dim]",
    `r = above(x @ score, 0.1)
    y = take(x, r)
    at = f32(position(y))
    gap = at - earlier(at, 1)
    x = put(x, r, scan(y, log_decay: -softplus(rate) * gap[..., None]))`,
  ),
};
