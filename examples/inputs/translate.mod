import { Cross, CrossAttention, Embedding, Layer, Linear, Predictor, RMSNorm, Residual } from "std"

/// Mixture-of-Depths (Raposo et al. 2024, arXiv 2404.02258) around a layer that reads a memory besides the chosen tokens.
block RoutedCross(inner: block, dim: int, capacity: ratio) {
  router: Linear(dim, 1, bias: false)
  guess:  Predictor(dim)

  forward(x: f32[B, T, dim], memory: f32[B, S, dim]) -> f32[B, T, dim] {
    score  = router(x)[..., 0]
    likely = guess(stop_gradient(x))[..., 0]
    chosen = if generate then above(likely, 0.0, expected: capacity) else
      top(score, ceil(capacity * T))
    if train { loss predictor = 0.01 * bce(likely, chosen.mask) }
    observe chosen
    put(x, chosen, inner(take(x, chosen), memory) * sigmoid(take(score, chosen))[..., None])
  }
}

/// Adds what a layer computes of tokens and a memory.
block ResidualCross(inner: block, dim: int) {
  forward(x: f32[B, T, dim], memory: f32[B, S, dim]) -> f32[B, T, dim] { x + inner(x, memory) }
}

/// An encoder-decoder of bytes (Vaswani et al. 2017, arXiv 1706.03762). The source is given: the encoder sees all of it,
/// also when generating, once a text. In every second layer of the decoder a share of the tokens is computed.
model Translate(
  vocab: int = 256, dim: int = 64, heads: int = 4, depth: int = 4, capacity: ratio = 25%,
  source_context: int = 256, context: int = 256,
) {
  embed:       Embedding(vocab, dim)
  encoder:     [for i in 0..2: Residual(Layer(dim, heads, causal: false))]
  memory_norm: RMSNorm(dim)
  decoder:     [for i in 0..depth:
                  if i % 2 == 1 then RoutedCross(
                    Cross(Layer(dim, heads), CrossAttention(dim, heads), dim), dim, capacity,
                  )
                  else ResidualCross(
                    Cross(Layer(dim, heads), CrossAttention(dim, heads), dim), dim,
                  )]
  norm:        RMSNorm(dim)

  forward(source: u32[B, S <= source_context], tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    memory = embed(source)
    for layer in encoder { memory = layer(memory) }
    memory = memory_norm(memory)
    x      = embed(tokens)
    for layer in decoder { x = layer(x, memory) }
    norm(x) @ transpose(embed.table)
  }

  objective(source: u32[B, S <= source_context], tokens: u32[B, T <= context], targets: i32[B, T]) {
    loss next = mean(cross_entropy(forward(source, tokens), targets))
  }
}
