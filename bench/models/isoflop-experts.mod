import { Attention, Embedding, LayerOf, MoD, MoE, Nothing, Residual, RMSNorm, SwiGLU } from "std"

/// The decoder of `isoflop.mod` with experts: each network is a mixture of `experts` of its size, of which a token
/// takes one. If `staged`, every second layer is routed; with `idle` a network has so many experts that do nothing.
model IsoFlopExperts(
  vocab: int = 256, dim: int = 48, heads: int = 4, depth: int = 6, context: int = 256,
  experts: int = 8, idle: int = 0, balance: float = 0.01, staged: bool = false,
  capacity: ratio = 12.5%,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if staged and i % 2 == 1 then MoD(
               LayerOf(
                 Attention(dim, heads),
                 MoE(
                   [for e in 0..experts: SwiGLU(dim, 4 * dim)] + [for e in 0..idle: Nothing()],
                   dim, 1, balance: balance,
                 ),
                 dim,
               ),
               dim,
               capacity,
             )
             else Residual(
               LayerOf(
                 Attention(dim, heads),
                 MoE(
                   [for e in 0..experts: SwiGLU(dim, 4 * dim)] + [for e in 0..idle: Nothing()],
                   dim, 1, balance: balance,
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
