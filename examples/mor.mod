import { Embedding, Linear, RMSNorm, SwiGLU } from "std"

/// A pre-norm layer that returns its update and whose keys and values can be made apart from its queries, so that
/// layers used again may go on reading those of the first time.
block SharedLayer(dim: int, heads: int, kv_heads: int, hidden: int, theta: float) {
  attn_norm: RMSNorm(dim)
  q:         Linear(dim, dim, bias: false)
  k:         Linear(dim, dim / heads * kv_heads, bias: false)
  v:         Linear(dim, dim / heads * kv_heads, bias: false)
  o:         Linear(dim, dim, bias: false)
  mlp_norm:  RMSNorm(dim)
  mlp:       SwiGLU(dim, hidden)

  keys(x: f32[B, T, dim]) -> f32[B, kv_heads, T, dim / heads] {
    rope(rearrange(k(attn_norm(x)), "b t (h d) -> b h t d", h: kv_heads), theta)
  }

  values(x: f32[B, T, dim]) -> f32[B, kv_heads, T, dim / heads] {
    rearrange(v(attn_norm(x)), "b t (h d) -> b h t d", h: kv_heads)
  }

  forward(
    x: f32[B, T, dim], keys: f32[B, kv_heads, S, dim / heads],
    values: f32[B, kv_heads, S, dim / heads],
  ) -> f32[B, T, dim] {
    queries = rope(rearrange(q(attn_norm(x)), "b t (h d) -> b h t d", h: heads), theta)
    a       = o(rearrange(attention(queries, keys, values, causal: true), "b h t d -> b t (h d)"))
    a + mlp(mlp_norm(x + a))
  }
}

/// Mixture-of-Recursions (Bae et al. 2025, arXiv 2507.10524) with expert choice: `layers` shared layers run `recursions`
/// times between a first and a last layer of their own, and at every recursion fewer tokens go on: of N recursions, the
/// r-th keeps (N + 1 - r)/N of the sequence, chosen among those that the one before had kept (hierarchical filtering).
/// The sizes are those of SmolLM-360M. Without `routed` every token takes every recursion; with `share_kv` later
/// recursions read the keys and values of the first, of all tokens.
model MoR(
  vocab: int = 49152, dim: int = 960, heads: int = 15, kv_heads: int = 5, hidden: int = 2560,
  layers: int = 15, recursions: int = 2, routed: bool = true, share_kv: bool = false,
  context: int = 2048, theta: float = 10000.0,
) {
  embed:  Embedding(vocab, dim)
  first:  SharedLayer(dim, heads, kv_heads, hidden, theta)
  shared: [for i in 0..layers: SharedLayer(dim, heads, kv_heads, hidden, theta)]
  last:   SharedLayer(dim, heads, kv_heads, hidden, theta)
  norm:   RMSNorm(dim)
  if routed {
    routers: [for r in 0..recursions: Linear(dim, 1, bias: false)]
  }

  forward(tokens: u32[B, T <= context]) -> f32[B, T, vocab] {
    x = embed(tokens)
    x = x + first(x, first.keys(x), first.values(x))

    rows    = x                      // the tokens still in play
    routes  = []
    updates = []
    keys    = []
    values  = []
    for r in 0..recursions {
      if routed {
        score = sigmoid(routers[r](rows)[..., 0])
        if r > 0 {
          chosen = if generate then above(
            score, 0.5, expected: (recursions - r) / (recursions - r + 1),
          ) else
            top(score, ceil((recursions - r) / recursions * T))
          observe chosen
          routes = routes + [chosen]
          score  = take(score, chosen)
          rows   = take(rows, chosen)
        }
      }
      update = 0.0
      for i in 0..layers {
        h = rows + update
        if r == 0 or not share_kv {
          k = shared[i].keys(h)
          v = shared[i].values(h)
          if r == 0 {
            keys   = keys + [k]
            values = values + [v]
          }
        } else {
          k = keys[i]
          v = values[i]
        }
        update = update + shared[i](h, k, v)
      }
      if routed { update = update * (0.1 * score)[..., None] }
      rows    = rows + update
      updates = updates + [update]
    }

    // From the innermost recursion outwards, each update is added to the rows it was made from.
    if routed {
      total = updates[recursions - 1]
      for r in 1..recursions {
        total = put(updates[recursions - 1 - r], routes[recursions - 1 - r], total)
      }
      x = x + total
    } else {
      x = rows
    }
    x = x + last(x, last.keys(x), last.values(x))
    norm(x) @ transpose(embed.table)
  }
}
