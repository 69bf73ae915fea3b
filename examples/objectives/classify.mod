import { Embedding, Layer, Linear, MoD, Residual, RMSNorm } from "std"

/// A classifier of texts on a routed decoder: the mean of a text's normed stream, times a head.
model Classifier(
  vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 4,
  context: int = 256, capacity: ratio = 12.5%, classes: int = 4,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % 2 == 1 then MoD(Layer(dim, heads), dim, capacity)
             else Residual(Layer(dim, heads))]
  norm:   RMSNorm(dim)
  head:   Linear(dim, classes)

  forward(tokens: u32[B, T <= context]) -> f32[B, classes] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    head(mean(norm(x), axis: 1))
  }

  objective(tokens: u32[B, T <= context], labels: u32[B]) {
    loss label = cross_entropy(forward(tokens), labels)
  }
}
