import { Embedding, Layer, Linear, Residual, RMSNorm } from "std"

/// A threshold that follows a capacity (Expert Threshold routing, Sun et al. 2026, arXiv 2603.11535), for depth: a token
/// goes through `inner` if its score exceeds `cut`. Training moves `cut` towards the score that a share `capacity` of
/// tokens exceeds. It looks at one token at a time, so the rule is the same in every phase, and needs no predictor.
block Following(inner: block, dim: int, capacity: ratio = 25%, rate: float = 0.05) {
  router: Linear(dim, 1, bias: false)
  state cut: f32[]

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    score = sigmoid(router(x)[..., 0])
    run   = above(score, cut, expected: capacity)
    observe run
    if train {
      best = take(score, top(score, ceil(capacity * T)))
      update cut = cut + rate * (mean(min(best, axis: 1)) - cut)
    }
    put(x, run, inner(take(x, run)) * take(score, run)[..., None])
  }
}

/// A byte-level decoder in which every second layer has such a threshold.
model Threshold(
  vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 4, context: int = 256,
  capacity: ratio = 25%, rate: float = 0.05,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % 2 == 1 then Following(Layer(dim, heads), dim, capacity, rate)
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
