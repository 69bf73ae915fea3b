import { Attention, Embedding, Linear, RMSNorm, SwiGLU } from "std"

/// A layer whose attention some tokens skip, by Router-Tuning (He et al. 2024, arXiv 2410.13184): the router alone is
/// trained in a model that is held. Attention is multiplied by 0 or 1, with the slope of the sigmoid; the loss counts
/// how many run beyond the wanted share, and its gradient is that of the same numbers. Keys are those of all tokens.
block Tuned(dim: int, heads: int, hidden: int, wanted: ratio, rate: float) {
  attn_norm: RMSNorm(dim)
  attn:      Attention(dim, heads)
  router:    Linear(dim, 1, bias: false)
  mlp_norm:  RMSNorm(dim)
  mlp:       SwiGLU(dim, hidden)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    n     = attn_norm(x)
    logit = router(n)[..., 0]
    run   = above(logit, 0.0, expected: wanted)
    observe run
    m = straight(run.mask, sigmoid(logit))
    if train { loss capacity = rate * relu(mean(m) - wanted) }
    h = x + attn(n) * m[..., None]
    h + mlp(mlp_norm(h))
  }
}

/// Train it with `--only` for the routers, on the weights of a trained model.
model RouterTuning(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 352, depth: int = 6,
  context: int = 256,
  wanted: ratio = 50%, rate: float = 0.01,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth: Tuned(dim, heads, hidden, wanted, rate)]
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
