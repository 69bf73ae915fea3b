import { Chunks, Embedding, Layer, LayerOf, Mamba2, Residual, RMSNorm, SwiGLU } from "std"

/// The main network: layers for the rows of chunks.
block Main(dim: int, heads: int, hidden: int, depth: int) {
  layers: [for i in 0..depth: Residual(Layer(dim, heads, hidden: hidden))]
  norm:   RMSNorm(dim)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    for layer in layers { x = layer(x) }
    norm(x)
  }
}

/// H-Net with one stage (Hwang et al. 2025, arXiv 2507.07955): an encoder and a decoder of Mamba-2 layers (arXiv 2405.21060)
/// read bytes, and between them a transformer reads chunks, whose boundaries the model learns.
model HNet(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 352, depth: int = 4,
  outer: int = 1,
  context: int = 256,
  state_dim: int = 32, share: ratio = 1 / 4,
) {
  embed:   Embedding(vocab, dim)
  encoder: [for i in 0..outer:
              Residual(LayerOf(Mamba2(dim, heads, state_dim: state_dim), SwiGLU(dim, hidden), dim))]
  chunks:  Chunks(Main(dim, heads, hidden, depth), dim, share)
  decoder: [for i in 0..outer:
              Residual(LayerOf(Mamba2(dim, heads, state_dim: state_dim), SwiGLU(dim, hidden), dim))]
  norm:    RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in encoder { x = layer(x) }
    x = chunks(x)
    for layer in decoder { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
