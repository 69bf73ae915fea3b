import { Attention, Embedding, LayerOf, MoD, MoE, Nothing, Residual, RMSNorm, SwiGLU } from "std"

/// Mixture-of-Depths-and-Experts (Raposo et al. 2024, arXiv 2404.02258, section 4.4), of both kinds:
/// - staged: a router decides whether a token goes through a layer, and inside that the mixture which experts it takes;
/// - integrated: among the experts of the network stand some that do nothing, and to choose these is to skip it.
model MoDE(
  staged: bool = true, vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 4,
  context: int = 256,
  experts: int = 4, idle: int = 2, k: int = 1, hidden: int = 256, capacity: ratio = 12.5%,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if staged and i % 2 == 1 then MoD(
               LayerOf(
                 Attention(dim, heads), MoE([for e in 0..experts: SwiGLU(dim, hidden)], dim, k),
                 dim,
               ),
               dim,
               capacity,
             )
             else Residual(
               LayerOf(
                 Attention(dim, heads),
                 MoE(
                   [for e in 0..experts: SwiGLU(dim, hidden)] +
                     [for e in 0..(if staged then 0 else idle): Nothing()],
                   dim, k, balance: 0.01,
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
