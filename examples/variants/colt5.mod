import { Attention, Embedding, GeluMLP, Linear, RMSNorm } from "std"

/// Scores between 0 and 1 that sum to about k along a sequence: the soft top-k of CoLT5, by coordinate descent on its
/// dual (Lei et al. 2023, arXiv 2304.04947; 20 steps there, at most ε from hard).
block Soft(share: ratio, steps: int = 20, epsilon: float = 1.0) {
  forward(s: f32[B, T]) -> f32[B, T] {
    b = -s
    for i in 0..steps {
      z = (s + b) / epsilon
      m = max(z, axis: 1, keep: true)
      a = epsilon *
        (log(zeros(like: m) + share * T) - log(sum(exp(z - m), axis: 1, keep: true)) - m)
      b = -relu(s + a)
    }
    exp((s + a + b) / epsilon)
  }
}

/// A layer of CoLT5's encoder (Ainslie et al. 2023, arXiv 2303.09752): light attention in a window and a light
/// network for every token; beside them heavy attention of chosen queries over chosen keys, by three quarters of the
/// heads, and a heavy network for chosen tokens. Three routers choose. Soft scores of queries and tokens multiply
/// what those add; that of a key gives its value a slope alone.
block Conditional(
  dim: int, heads: int, hidden: int, window: int, queries: ratio, keys: ratio, tokens: ratio,
) {
  attn_norm:  RMSNorm(dim)
  light_attn: Attention(dim, heads / 2, head_dim: dim / heads, causal: false, window: window)
  asking:     Linear(dim, 1, bias: false)
  asked:      Soft(queries)
  telling:    Linear(dim, 1, bias: false)
  told:       Soft(keys)
  q:          Linear(dim, dim * 3 / 4, bias: false)
  k:          Linear(dim, dim * 3 / 4, bias: false)
  v:          Linear(dim, dim * 3 / 4, bias: false)
  o:          Linear(dim * 3 / 4, dim, bias: false)
  mlp_norm:   RMSNorm(dim)
  light_mlp:  GeluMLP(dim, hidden / 2, bias: false)
  thinking:   Linear(dim, 1, bias: false)
  thought:    Soft(tokens)
  heavy_mlp:  GeluMLP(dim, 2 * hidden, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    n      = attn_norm(x)
    asks   = asked(asking(n)[..., 0])
    tells  = told(telling(n)[..., 0])
    asker  = top(asks, ceil(queries * T))
    teller = top(tells, ceil(keys * T))
    observe asker
    observe teller
    qs    = rope(rearrange(q(take(n, asker)), "b t (h d) -> b h t d", h: heads * 3 / 4), 10000.0)
    ks    = rope(rearrange(k(take(n, teller)), "b t (h d) -> b h t d", h: heads * 3 / 4), 10000.0)
    vs    = v(take(n, teller)) * take(straight(teller.mask, tells), teller)[..., None]
    heard = attention(qs, ks, rearrange(vs, "b t (h d) -> b h t d", h: heads * 3 / 4))
    heavy = o(rearrange(heard, "b h t d -> b t (h d)")) * take(asks, asker)[..., None]
    x     = put(x + light_attn(n), asker, heavy)

    n       = mlp_norm(x)
    thinks  = thought(thinking(n)[..., 0])
    thinker = top(thinks, ceil(tokens * T))
    observe thinker
    put(x + light_mlp(n), thinker, heavy_mlp(take(n, thinker)) * take(thinks, thinker)[..., None])
  }
}

/// The encoder. It sees whole texts, so it does not generate.
model CoLT5(
  vocab: int = 256, dim: int = 128, heads: int = 4, hidden: int = 4 * dim, depth: int = 4,
  context: int = 512,
  window: int = 127, queries: ratio = 1 / 16, keys: ratio = 1 / 8, tokens: ratio = 1 / 16,
) {
  embed:  Embedding(vocab, dim)
  layers: [for i in 0..depth: Conditional(dim, heads, hidden, window, queries, keys, tokens)]
  norm:   RMSNorm(dim)

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    for layer in layers { x = layer(x) }
    norm(x) @ transpose(embed.table)
  }

  objective(tokens: u32[B, T <= context], targets: i32[B, T]) {
    loss masked = cross_entropy(forward(tokens), targets)
  }
}
