import { Embedding, Linear, RMSNorm, SwiGLU } from "std"

/// A layer of Mixture-of-Depths attention (MoDA, Zhu et al. 2026, arXiv 2603.15619): a query sees keys of the tokens before
/// it in this layer, and keys that its own token had in all layers before, in one softmax. `mass` of the first and of the
/// second says how much of the softmax each has.
block Deep(dim: int, heads: int, hidden: int, theta: float) {
  attn_norm: RMSNorm(dim)
  q:         Linear(dim, dim, bias: false)
  k:         Linear(dim, dim, bias: false)
  v:         Linear(dim, dim, bias: false)
  o:         Linear(dim, dim, bias: false)
  mlp_norm:  RMSNorm(dim)
  mlp:       SwiGLU(dim, hidden)

  /// A token's keys or values, by head.
  keys(x: f32[B, T, dim]) -> f32[B, heads, T, dim / heads] {
    rope(rearrange(k(attn_norm(x)), "b t (h d) -> b h t d", h: heads), theta)
  }

  values(x: f32[B, T, dim]) -> f32[B, heads, T, dim / heads] {
    rearrange(v(attn_norm(x)), "b t (h d) -> b h t d", h: heads)
  }

  /// `deep_keys` and `deep_values` are those of the layers before.
  forward(
    x: f32[B, T, dim],
    deep_keys: f32[B, heads, T, L, dim / heads], deep_values: f32[B, heads, T, L, dim / heads],
  ) -> f32[B, T, dim] {
    queries = rope(rearrange(q(attn_norm(x)), "b t (h d) -> b h t d", h: heads), theta)
    along   = attention(queries, keys(x), values(x), causal: true)
    scores  = sum(queries[..., None, :] * deep_keys, axis: -1) * rsqrt(tensor([dim / heads]))
    down    = sum(softmax(scores)[..., None] * deep_values, axis: -2)
    most    = max(scores, axis: -1, keep: true)
    deep    = log(sum(exp(scores - most), axis: -1)) + most[..., 0]
    w       = sigmoid(mass(queries, keys(x), causal: true) - deep)[..., None]
    a       = o(rearrange(w * along + (1 - w) * down, "b h t d -> b t (h d)"))
    a + mlp(mlp_norm(x + a))
  }
}

/// A decoder of such layers. The embedding gives the first of a token's keys in depth.
model DepthKeys(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 352, depth: int = 4,
  context: int = 256,
  theta: float = 10000.0,
) {
  embed:   Embedding(vocab, dim)
  first_k: Linear(dim, dim, bias: false)
  first_v: Linear(dim, dim, bias: false)
  layers:  [for i in 0..depth: Deep(dim, heads, hidden, theta)]
  norm:    RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x  = embed(tokens)
    ks = rope(rearrange(first_k(x), "b t (h d) -> b h t d", h: heads), theta)[..., None, :]
    vs = rearrange(first_v(x), "b t (h d) -> b h t d", h: heads)[..., None, :]
    for layer in layers {
      y  = x + layer(x, ks, vs)
      ks = concat([ks, layer.keys(x)[..., None, :]], axis: 3)
      vs = concat([vs, layer.values(x)[..., None, :]], axis: 3)
      x  = y
    }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
