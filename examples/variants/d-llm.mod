import { Embedding, Layer, Linear, Residual, RMSNorm, SwiGLU } from "std"

/// A layer of D-LLM (Wang et al. 2024, NeurIPS 2024): a small network decides of each token whether it runs, hard
/// with the slope of the softmax, and by Gumbel noise in training. The first two tokens always run. A token that
/// skips the layer is no key of it either, so its keys and values are evicted from the cache: `weight: m` says so in
/// training, and when generating only the keys of those that ran are computed and kept.
block Dynamic(dim: int, heads: int, hidden: int, tau: float, share: ratio) {
  router_up:   Linear(dim, dim / 4)
  router_norm: RMSNorm(dim / 4)
  router:      Linear(dim / 4, 2)
  attn_norm:   RMSNorm(dim)
  q:           Linear(dim, dim, bias: false)
  k:           Linear(dim, dim, bias: false)
  v:           Linear(dim, dim, bias: false)
  o:           Linear(dim, dim, bias: false)
  mlp_norm:    RMSNorm(dim)
  mlp:         SwiGLU(dim, hidden)

  /// The stream, and the share of tokens that ran.
  forward(x: f32[B, T, dim]) -> (x: f32[B, T, dim], ran: f32[B, T]) {
    l = router(silu(router_norm(router_up(x))))
    if train { l = (l - log(-log(0.0000001 + 0.9999998 * random_uniform(like: l)))) / tau }
    early = position(x) < 2
    run   = those(l[..., 1] > l[..., 0] or early, expected: share)
    observe run
    m = straight(run.mask, where(early, 0.0, softmax(l)[..., 1]))

    n       = attn_norm(x)
    queries = rope(rearrange(q(n), "b t (h d) -> b h t d", h: heads), 10000.0)
    keys    = rope(rearrange(k(n), "b t (h d) -> b h t d", h: heads), 10000.0)
    values  = rearrange(v(n), "b t (h d) -> b h t d", h: heads)
    a       = o(
      rearrange(attention(queries, keys, values, causal: true, weight: m), "b h t d -> b t (h d)"),
    )
    (x + (a + mlp(mlp_norm(x + a))) * m[..., None], m)
  }
}

/// A decoder whose first layers run for every token. The loss holds the share of tokens that run.
model DLLM(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 352, depth: int = 6,
  dense: int = 1, context: int = 256,
  tau: float = 1.0, share: ratio = 50%, rate: float = 0.1,
) {
  embed:  Embedding(vocab, dim)
  first:  [for i in 0..dense: Residual(Layer(dim, heads, hidden: hidden))]
  layers: [for i in dense..depth: Dynamic(dim, heads, hidden, tau, share)]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in first { x = layer(x) }
    all = 0.0
    for layer in layers {
      (x, ran) = layer(x)
      all = all + ran
    }
    if train { loss ratio = rate * abs(mean(all) / (depth - dense) - share) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
