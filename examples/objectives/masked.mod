import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"

/// A masked language model with routed layers (Devlin et al. 2018, arXiv 1810.04805): an encoder that predicts hidden
/// tokens from both sides. The data hides tokens; targets have them, and −1 elsewhere.
model Masked(
  vocab: int = 257, dim: int = 128, heads: int = 4, depth: int = 4,
  context: int = 256, capacity: ratio = 12.5%,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % 2 == 1 then MoD(Layer(dim, heads, causal: false), dim, capacity)
             else Residual(Layer(dim, heads, causal: false))]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    loss hidden = cross_entropy(forward(tokens), targets)
  }
}
