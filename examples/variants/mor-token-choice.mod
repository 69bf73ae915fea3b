import { Embedding, Layer, Linear, Residual, RMSNorm } from "std"

/// Mixture-of-Recursions with token choice (Bae et al. 2025, arXiv 2507.10524): a router says of each token, before
/// the first recursion, how many times it goes through the shared layers. Tokens that end together share keys; those
/// that went further are keys no more. What the last recursion of a token made, times the share that the router gave
/// it, is added to what went in. A loss of balance keeps all depths in use.
model MoRTokenChoice(
  vocab: int = 256, dim: int = 128, heads: int = 4, kv_heads: int = heads,
  hidden: int = 4 * dim, layers: int = 2, recursions: int = 3, context: int = 256,
  balance: float = 0.1,
) {
  embed:  Embedding(vocab, dim)
  first:  Residual(Layer(dim, heads, kv_heads, hidden))
  router: Linear(dim, recursions)
  shared: [for i in 0..layers: Residual(Layer(dim, heads, kv_heads, hidden))]
  last:   Residual(Layer(dim, heads, kv_heads, hidden))
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x     = first(embed(tokens))
    p     = softmax(router(x))
    depth = argmax(p, axis: -1)
    if train {
      used = 0.0
      for r in 0..recursions { used = used + mean(f32(depth == r)) * mean(p[..., r]) }
      loss balance = balance * recursions * used
    }

    rows   = x                        // the tokens still in play
    deep   = depth
    routes = []
    ends   = []
    for r in 0..recursions {
      if r > 0 {
        going = those(deep >= r, expected: (recursions - r) / (recursions - r + 1))
        observe going
        routes = routes + [going]
        rows   = take(rows, going)
        deep   = take(deep, going)
      }
      for layer in shared { rows = layer(rows) }
      ends = ends + [where((deep == r)[..., None], rows, 0.0)]
    }

    // From the innermost recursion outwards, what ended there is put back among the tokens it was chosen from.
    total = ends[recursions - 1]
    for r in 1..recursions {
      total = put(ends[recursions - 1 - r], routes[recursions - 1 - r], total)
    }
    x = x + total * max(p, axis: -1, keep: true)
    norm(last(x)) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
