import { RMSNorm } from "std"

model Decoder(vocab: int = 256, dim: int = 64) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..2: Residual(Layer(dim, heads: 4))]
  norm:   RMSNorm(dim)
  head:   Linear(dim, vocab)

  forward(tokens: u32[B, T]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    print(x)
    head(norm(x))
  }
}
