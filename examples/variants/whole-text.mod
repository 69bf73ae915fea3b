import { Embedding, GeluMLP, Layer, Linear, Residual, RMSNorm } from "std"

/// A layer that a whole text runs, skips or repeats, as in Dr.LLM (Heakl et al. 2025, arXiv 2510.12773). The router reads
/// the mean of the first `window` rows, and its decision holds for all later tokens; the tokens before it always run once.
/// So generation makes the same decisions as training, and a layer that the text skips costs nothing.
block Decided(dim: int, heads: int, hidden: int, window: int, share: ratio) {
  inner:  Layer(dim, heads, hidden: hidden)
  router: GeluMLP(dim, dim / 4)
  head:   Linear(dim, 3)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    at      = position(x)
    begun   = at >= window - 1
    decides = at == window - 1
    pooled  = scan(x) / (f32(at) + 1)[..., None]
    logits  = head(router(pooled))                                   // skip, run, repeat
    held    = scan(where(decides[..., None], logits, 0.0))
    p       = softmax(held)
    run     = those(not begun or max(held[..., 1], held[..., 2]) > held[..., 0], expected: share)
    again   = those(begun and held[..., 2] > max(held[..., 0], held[..., 1]), expected: 10%)
    observe run
    observe again
    ones  = p[..., 1] + p[..., 2]
    once  = straight(run.mask, where(begun, ones, 1.0))
    twice = straight(again.mask, where(begun, p[..., 2], 0.0))
    if train { loss share = relu(mean(ones) - share) }
    y = x + inner(x) * once[..., None]
    y + inner(y) * twice[..., None]
  }
}

/// A decoder whose first and last layers run for every text.
model WholeText(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 352, depth: int = 6,
  context: int = 256,
  window: int = 8, share: ratio = 75%,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i == 0 or i == depth - 1 then Residual(Layer(dim, heads, hidden: hidden))
             else Decided(dim, heads, hidden, window, share)]
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
