import { Documents, Embedding, Linear, MoDWith, Residual, RMSNorm, SwiGLU } from "std"

/// Attention within documents, with a bias by the distance of two tokens: a slope for each head (ALiBi, Press et al. 2022,
/// arXiv 2108.12409), or a learned number for each head and bucket (T5, Raffel et al. 2020, arXiv 1910.10683), of which the
/// first half are single distances and the others grow to `far`.
block Within(dim: int, heads: int, kind: string, buckets: int, far: int) {
  norm: RMSNorm(dim)
  q:    Linear(dim, dim, bias: false)
  k:    Linear(dim, dim, bias: false)
  v:    Linear(dim, dim, bias: false)
  o:    Linear(dim, dim, bias: false)
  if kind == "t5" {
    weight table: f32[buckets, heads]
  }

  /// `doc` has the number of each token's document.
  forward(x: f32[B, T, dim], doc: f32[B, T, 1]) -> f32[B, T, dim] {
    n    = norm(x)
    rows = [for y in [q(n), k(n), v(n)]: rearrange(y, "b t (h d) -> b h t d", h: heads)]
    at   = f32(position(x))
    past = at[:, :, None] - at[:, None, :]
    if kind == "t5" {
      half  = buckets / 2
      large = half + floor(log(max(past, 1.0) / half) / log(tensor([far / half])) * half)
      place = where(past < half, max(past, 0.0), min(large, f32(buckets - 1)))
      bias  = rearrange(table[u32(place)], "b t s h -> b h t s")
    } else {
      slopes = tensor([for i in 0..heads: 1 / 2 ^ (8 * (i + 1) / heads)])
      bias   = -slopes[:, None, None] * past[:, None]
    }
    own  = doc[..., 0]
    seen = attention(
      rows[0], rows[1], rows[2], causal: true, mask: own[:, :, None] == own[:, None, :], bias: bias,
    )
    o(rearrange(seen, "b h t d -> b t (h d)"))
  }
}

/// A decoder of packed documents, each of which ends with `separator`. The attention of every second layer is that of
/// Mixture-of-Depths (arXiv 2404.02258): the document of a token is taken with the token.
model Packed(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 352, depth: int = 4,
  context: int = 256,
  separator: int = 10, kind: string = "alibi", buckets: int = 32, far: int = 128,
  capacity: ratio = 25%,
) {
  embed:     Embedding(vocab, dim)
  documents: Documents(separator)
  attend:    [for i in 0..depth: Within(dim, heads, kind, buckets, far)]
  routed:    [for i in 0..depth / 2: MoDWith(attend[2 * i + 1], dim, 1, capacity)]
  mlp_norm:  [for i in 0..depth: RMSNorm(dim)]
  mlp:       [for i in 0..depth: SwiGLU(dim, hidden)]
  norm:      RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x   = embed(tokens)
    doc = f32(documents(tokens).doc)[..., None]
    for i in 0..depth {
      if i % 2 == 1 { x = routed[(i - 1) / 2](x, doc) } else { x = x + attend[i](x, doc) }
      x = x + mlp[i](mlp_norm[i](x))
    }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: u32[B, T]) {
    loss next_token = cross_entropy(forward(tokens), targets)
  }
}
