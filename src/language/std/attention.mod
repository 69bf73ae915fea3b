import { Linear } from "./linear.mod"
import { RMSNorm } from "./norm.mod"

/// Self-attention with several heads, which may share keys and values in groups (Ainslie et al. 2023, arXiv 2305.13245),
/// and rotary positions (Su et al. 2021, arXiv 2104.09864). On routed tokens it attends among those, by their original positions.
block Attention(
  /// Width of the stream.
  dim: int,
  /// Heads of the queries.
  heads: int,
  /// Heads of keys and values: 1 for multi-query, fewer than `heads` for grouped-query attention.
  kv_heads: int = heads,
  /// Width of each head.
  head_dim: int = dim / heads,
  /// Base of the rotary frequencies; 0.0 for no rotation.
  theta: float = 10000.0,
  /// Whether a token sees only itself and those before it.
  causal: bool = true,
  /// How far a token sees, itself included; 0 for no limit.
  window: int = 0,
  /// Whether q, k and v have a bias.
  bias: bool = false,
  /// Whether o has a bias.
  out_bias: bool = bias,
  /// Whether each head of q and k is normalised before rotation.
  qk_norm: bool = false,
  /// Scores are cap · tanh(score / cap) (Gemma 2, arXiv 2408.00118); 0.0 for no cap.
  cap: float = 0.0,
  /// Whether each head has a sink: a score that a token may give to nothing (gpt-oss, arXiv 2508.10925).
  sinks: bool = false,
  /// How many columns of each head are rotated, from the first; even.
  rotate: int = head_dim,
  /// Whether a gate of each column, sigmoid(gate(x)), multiplies what is attended to (Qwen3-Next).
  out_gate: bool = false,
) {
  q: Linear(dim, heads * head_dim, bias: bias)
  k: Linear(dim, kv_heads * head_dim, bias: bias)
  v: Linear(dim, kv_heads * head_dim, bias: bias)
  o: Linear(heads * head_dim, dim, bias: out_bias)
  if qk_norm {
    q_norm: RMSNorm(head_dim)
    k_norm: RMSNorm(head_dim)
  }
  if sinks {
    weight sink: f32[heads]
  }
  if out_gate {
    gate: Linear(dim, heads * head_dim, bias: bias)
  }
  /// Queries of the tokens of x, keys and values of all: where only some tokens attend.
  attend(x: f32[B, K, dim], all: f32[B, T, dim]) -> f32[B, K, dim] {
    queries = rearrange(q(x), "b t (h d) -> b h t d", h: heads)      // f32[B, heads, K, head_dim]
    keys    = rearrange(k(all), "b t (h d) -> b h t d", h: kv_heads)
    values  = rearrange(v(all), "b t (h d) -> b h t d", h: kv_heads)
    if qk_norm {
      queries = q_norm(queries)
      keys    = k_norm(keys)
    }
    if theta > 0.0 {
      if rotate == head_dim {
        queries = rope(queries, theta)
        keys    = rope(keys, theta)
      } else {
        queries = concat([rope(queries[..., 0:rotate], theta), queries[..., rotate:]], axis: -1)
        keys    = concat([rope(keys[..., 0:rotate], theta), keys[..., rotate:]], axis: -1)
      }
    }
    if cap > 0.0 {
      seen = attention(queries, keys, values, causal: causal, window: window, cap: cap)
    } else {
      seen = attention(queries, keys, values, causal: causal, window: window)
    }
    if sinks {
      if cap > 0.0 {
        total = mass(queries, keys, causal: causal, window: window, cap: cap)
      } else {
        total = mass(queries, keys, causal: causal, window: window)
      }
      seen = seen * sigmoid(total - sink[:, None])[..., None]
    }
    rows = rearrange(seen, "b h t d -> b t (h d)")
    if out_gate { rows = rows * sigmoid(gate(x)) }
    o(rows)
  }

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { attend(x, x) }
}

/// Attention from tokens to a memory, such as an encoder's results (Vaswani et al. 2017, arXiv 1706.03762, section 3.2.3),
/// without positions. A given memory's keys and values are computed once a text when generating.
block CrossAttention(
  /// Width of the stream.
  dim: int,
  /// Heads of the queries.
  heads: int,
  /// Width of the memory.
  width: int = dim,
  /// Heads of keys and values: 1 for multi-query, fewer than `heads` for grouped-query attention.
  kv_heads: int = heads,
  /// Width of each head.
  head_dim: int = dim / heads,
  /// Whether q, k and v have a bias.
  bias: bool = false,
  /// Whether o has a bias.
  out_bias: bool = bias,
  /// Whether each head of q and k is normalised.
  qk_norm: bool = false,
) {
  q: Linear(dim, heads * head_dim, bias: bias)
  k: Linear(width, kv_heads * head_dim, bias: bias)
  v: Linear(width, kv_heads * head_dim, bias: bias)
  o: Linear(heads * head_dim, dim, bias: out_bias)
  if qk_norm {
    q_norm: RMSNorm(head_dim)
    k_norm: RMSNorm(head_dim)
  }

  forward(x: f32[B, T, dim], memory: f32[B, S, width]) -> f32[B, T, dim] {
    queries = rearrange(q(x), "b t (h d) -> b h t d", h: heads)
    keys    = rearrange(k(memory), "b t (h d) -> b h t d", h: kv_heads)
    values  = rearrange(v(memory), "b t (h d) -> b h t d", h: kv_heads)
    if qk_norm {
      queries = q_norm(queries)
      keys    = k_norm(keys)
    }
    o(rearrange(attention(queries, keys, values), "b h t d -> b t (h d)"))
  }
}
