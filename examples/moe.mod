import { Attention, Embedding, LayerOf, MoE, Residual, RMSNorm, SwiGLU } from "std"

/// A byte-level decoder whose networks are mixtures of experts: each token goes through two of eight in every layer, as
/// in Mixtral (Jiang et al. 2024, arXiv 2401.04088). Balance comes from a bias outside the gradient
/// (Wang et al. 2024, arXiv 2408.15664), so that no loss of balance disturbs the others.
model Experts(
  vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 4, context: int = 256,
  experts: int = 8, k: int = 2, hidden: int = 128,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             Residual(
               LayerOf(
                 Attention(dim, heads),
                 MoE(
                   [for e in 0..experts: SwiGLU(dim, hidden)], dim, k, renormalize: true,
                   loss_free: true, z: 0.001,
                 ),
                 dim,
               ),
             )]
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
