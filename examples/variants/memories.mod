import { Embedding, LayerOf, Memories, MoD, Residual, RMSNorm, SwiGLU } from "std"

/// A decoder of Mixture-of-Memories (Du et al. 2025, arXiv 2502.13685): each token reads and writes `active` of `count`
/// memories. In every second layer, Mixture-of-Depths (arXiv 2404.02258) decides which tokens do.
model MoM(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 352, depth: int = 4,
  context: int = 256,
  count: int = 4, active: int = 2, capacity: ratio = 50%,
) {
  embed:  Embedding(vocab, dim)
  mixers: [for i in 0..depth:
             LayerOf(Memories(dim, heads, count, active, shared: true), SwiGLU(dim, hidden), dim)]
  layers: [for i in 0..depth:
             if i % 2 == 1 then MoD(mixers[i], dim, capacity) else Residual(mixers[i])]
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
