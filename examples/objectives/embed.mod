import { Embedding, Layer, MoD, Residual, RMSNorm } from "std"

/// Embeddings of texts by a routed encoder (van den Oord et al. 2018, arXiv 1807.03748; Reimers and Gurevych 2019,
/// arXiv 1908.10084): each query shall be closest to its own positive text among those of the batch. An embedding is the
/// normed mean of a text's stream. The two texts of a record lie along axes of their own, so that each has its own
/// length.
model Embedder(
  vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 4,
  context: int = 256, capacity: ratio = 12.5%, scale: float = 20,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % 2 == 1 then MoD(Layer(dim, heads), dim, capacity)
             else Residual(Layer(dim, heads))]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> embedding: f32[B, dim] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    // The norm cancels the number of tokens, so the sum serves as the mean.
    pooled = sum(norm(x), axis: 1)
    pooled * rsqrt(max(sum(pooled ^ 2, axis: -1, keep: true), 1e-12))
  }

  objective(query: u32[B, T <= context], positive: u32[B, S <= context]) {
    loss pairs = contrast(forward(query), forward(positive), scale: scale)
  }
}
