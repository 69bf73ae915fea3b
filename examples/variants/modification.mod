import { Embedding, Layer, Linear, Residual, RMSNorm } from "std"

/// A layer of MoDification (Zhang et al. 2024, arXiv 2410.14268): every token whose gate is above one half goes
/// through it, in every phase alike, so nothing has to guess a top-k when generating. The update is multiplied by the
/// gate. The loss pulls all gates one way: down where more tokens run than not, up where fewer do.
block Modified(inner: block, dim: int, rate: float, expected: ratio) {
  router: Linear(dim, 1)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    g   = sigmoid(router(x)[..., 0])
    run = above(g, 0.5, expected: expected)
    observe run
    if train {
      share = mean(f32(run.mask))
      loss spread = rate * (share * mean(g) + (1 - share) * (1 - mean(g)))
    }
    put(x, run, inner(take(x, run)) * take(g, run)[..., None])
  }
}

/// A decoder in which every second layer is such a layer.
model MoDification(
  vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 6, context: int = 256,
  rate: float = 0.01,
  expected: ratio = 50%,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % 2 == 1 then Modified(Layer(dim, heads), dim, rate, expected)
             else Residual(Layer(dim, heads))]
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
