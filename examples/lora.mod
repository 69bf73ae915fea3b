import { Embedding, Linear, LoRA, MoD, Residual, RMSNorm, SwiGLU } from "std"

/// Attention as the library has it, with adapters on the queries and values.
block AdaptedAttention(dim: int, heads: int, rank: int) {
  q: LoRA(dim, dim, rank)
  k: Linear(dim, dim, bias: false)
  v: LoRA(dim, dim, rank)
  o: Linear(dim, dim, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    queries = rearrange(q(x), "b t (h d) -> b h t d", h: heads)
    keys    = rearrange(k(x), "b t (h d) -> b h t d", h: heads)
    values  = rearrange(v(x), "b t (h d) -> b h t d", h: heads)
    seen    = attention(rope(queries, 10000.0), rope(keys, 10000.0), values, causal: true)
    o(rearrange(seen, "b h t d -> b t (h d)"))
  }
}

/// The library's `Layer` with that attention.
block AdaptedLayer(dim: int, heads: int, rank: int) {
  attn_norm: RMSNorm(dim)
  attn:      AdaptedAttention(dim, heads, rank)
  mlp_norm:  RMSNorm(dim)
  mlp:       SwiGLU(dim, 4 * dim)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    a = attn(attn_norm(x))
    a + mlp(mlp_norm(x + a))
  }
}

/// moby.mod with adapters (LoRA, Hu et al. 2021, arXiv 2106.09685): its other weights are those of moby.mod, by the same
/// paths.
model Adapted(
  vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 6,
  context: int = 256, capacity: ratio = 12.5%, rank: int = 8,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % 2 == 1 then MoD(AdaptedLayer(dim, heads, rank), dim, capacity)
             else Residual(AdaptedLayer(dim, heads, rank))]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
