import { Embedding, Layer, MoD, Predictor, Residual, RMSNorm } from "std"

/// `MoD` of the library with random numbers for scores: routes as many tokens, and none for a reason.
/// When generating, a token is computed where its number is above `threshold`, beyond which the normal distribution has a share of `capacity`.
block RandomMoD(inner: block, dim: int, capacity: ratio, threshold: float) {
  guess: Predictor(dim)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    likely = guess(stop_gradient(x))[..., 0]
    score  = random_normal(like: likely)
    chosen = if generate then above(score, threshold, expected: capacity) else
      top(score, ceil(capacity * T))
    if train { loss predictor = 0.01 * bce(likely, chosen.mask) }
    observe chosen
    put(x, chosen, inner(take(x, chosen)) * take(score, chosen)[..., None])
  }
}

/// The decoder of the experiment: every second layer is routed, unless `routing` is "none".
model IsoFlop(
  vocab: int = 256, dim: int = 48, heads: int = 4, depth: int = 6, context: int = 256,
  routing: string = "none", capacity: ratio = 12.5%, threshold: float = 1.1503494,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if routing == "learned" and i % 2 == 1 then MoD(Layer(dim, heads), dim, capacity)
             else if routing == "random" and i % 2 == 1 then RandomMoD(Layer(dim, heads), dim, capacity, threshold)
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
