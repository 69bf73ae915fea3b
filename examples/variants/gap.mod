import { Embedding, L2Norm, Linear, MoD, Residual, RMSNorm } from "std"

/// Linear attention with decays (GLA, Yang et al. 2024, arXiv 2312.06635) in which time passes for tokens that skip it: the
/// log of a token's decay counts once for each position since the token before it on the route. Without `timed`, a token
/// that skips lets nothing decay.
block Decaying(dim: int, heads: int, timed: bool) {
  norm:  RMSNorm(dim)
  q:     Linear(dim, dim, bias: false)
  k:     Linear(dim, dim, bias: false)
  v:     Linear(dim, dim, bias: false)
  decay: Linear(dim, heads)
  unit:  L2Norm()
  o:     Linear(dim, dim, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    n    = norm(x)
    rows = [for y in [q(n), k(n), v(n)]: rearrange(y, "b t (h d) -> b h t d", h: heads)]
    rate = -softplus(-rearrange(decay(n), "b t h -> b h t")) / 16
    if timed {
      at   = f32(position(x))
      gap  = at - earlier(at, 1)
      rate = rate * gap[:, None]
    }
    y = linear_attention(unit(rows[0]), unit(rows[1]), rows[2], log_decay: rate)
    o(rearrange(y, "b h t d -> b t (h d)"))
  }
}

/// A decoder of such layers, every second one a Mixture-of-Depths layer (arXiv 2404.02258).
model Gap(
  vocab: int = 256, dim: int = 128, heads: int = 4, depth: int = 4, context: int = 256,
  timed: bool = true, capacity: ratio = 25%,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth:
             if i % 2 == 1 then MoD(Decaying(dim, heads, timed), dim, capacity)
             else Residual(Decaying(dim, heads, timed))]
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
