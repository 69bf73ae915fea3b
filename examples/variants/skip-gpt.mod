import { Attention, Embedding, Linear, RMSNorm, SwiGLU } from "std"

/// Two logits of a token, of running and of skipping.
block Router(dim: int) {
  up:   Linear(dim, dim / 4)
  down: Linear(dim / 4, 2)

  forward(x: f32[B, T, dim]) -> f32[B, T, 2] { down(relu(up(x))) }
}

/// A layer of SkipGPT (Zhao et al. 2025, arXiv 2506.04179): attention and network are skipped one by one, by routers
/// of their own that both read what the layer was given. In training their two logits get Gumbel noise and are
/// divided by a temperature; the choice is hard in every phase, with the slope of the softmax. Keys are those of all
/// tokens.
block Skipping(dim: int, heads: int, hidden: int, tau: float, share: ratio) {
  attn_norm:   RMSNorm(dim)
  attn:        Attention(dim, heads)
  attn_router: Router(dim)
  mlp_norm:    RMSNorm(dim)
  mlp:         SwiGLU(dim, hidden)
  mlp_router:  Router(dim)

  /// 1 where the first logit is the larger, else 0.
  gate(logits: f32[B, T, 2]) -> f32[B, T] {
    l = logits
    if train { l = (l - log(-log(0.0000001 + 0.9999998 * random_uniform(like: l)))) / tau }
    run = those(l[..., 0] > l[..., 1], expected: share)
    observe run
    straight(run.mask, softmax(l)[..., 0])
  }

  /// The stream, and the share of attentions and networks that ran.
  forward(x: f32[B, T, dim]) -> (x: f32[B, T, dim], ran: f32[]) {
    a = gate(attn_router(x))
    m = gate(mlp_router(x))
    h = x + attn(attn_norm(x)) * a[..., None]
    (h + mlp(mlp_norm(h)) * m[..., None], 0.5 * (mean(a) + mean(m)))
  }
}

/// A decoder of such layers. The loss holds the share of attentions and networks that run.
model SkipGPT(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 352, depth: int = 6,
  context: int = 256,
  tau: float = 1.0, share: ratio = 75%, rate: float = 20.0,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth: Skipping(dim, heads, hidden, tau, share)]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x   = embed(tokens)
    all = 0.0
    for layer in layers {
      (x, ran) = layer(x)
      all = all + ran
    }
    if train { loss sparsity = rate * abs(all / depth - share) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
