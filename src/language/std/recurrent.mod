import { Linear } from "./linear.mod"
import { RMSNorm } from "./norm.mod"

/// A causal convolution of each channel: Σ weight[:, 0, width − 1 − j] · the row j before. The sum is one kernel. On a
/// route, the rows are those of the chosen tokens. `weight` is stored as by PyTorch's Conv1d with a group a channel.
block ShortConv(
  /// Number of channels.
  dim: int,
  /// Number of rows in each sum, with the token's own.
  width: int = 4,
  /// Whether a bias is added.
  bias: bool = false,
) {
  weight weight: f32[dim, 1, width]
  if bias {
    weight bias: f32[dim] = zeros

    forward(x: f32[B, T, dim]) -> f32[B, T, dim] { along(x) + bias }
  } else {
    forward(x: f32[B, T, dim]) -> f32[B, T, dim] { along(x) }
  }

  /// Without the bias.
  along(x: f32[B, T, dim]) -> f32[B, T, dim] {
    c = x * weight[:, 0, width - 1]
    for j in 1..width { c = c + earlier(x, j) * weight[:, 0, width - 1 - j] }
    c
  }
}

/// The gated delta rule (Yang et al. 2024, arXiv 2412.06464, equation 10): S_t = α_t (1 − β_t k_t k_tᵀ) S_(t−1) + β_t k_t v_tᵀ
/// and y_t = q_tᵀ S_t, with α = exp(rate). Rows of q and k are normalised before.
block DeltaRule(
  /// How many heads of v share a head of q and k.
  shared: int = 1,
) {
  forward(
    q: f32[B, G, T, K], k: f32[B, G, T, K], v: f32[B, H, T, V],
    beta: f32[B, H, T], rate: f32[B, H, T],
  ) -> f32[B, H, T, V] {
    if shared == 1 {
      forget = beta[..., None] * k
      at     = exp(rate)[..., None] * k
    } else {
      b      = rearrange(beta, "b (g s) t -> b g s t 1", s: shared)
      a      = rearrange(exp(rate), "b (g s) t -> b g s t 1", s: shared)
      forget = rearrange(b * k[:, :, None], "b g s t k -> b (g s) t k")
      at     = rearrange(a * k[:, :, None], "b g s t k -> b (g s) t k")
    }
    linear_attention(q, k, beta[..., None] * v, log_decay: rate, forget: forget, at: at)
  }
}

/// Mamba-2 (Dao and Gu 2024, arXiv 2405.21060), as transformers' Mamba2Mixer: a state of f32[state_dim, head_dim] for each
/// head decays by exp(−exp(a_log) · dt) a token. Returns its update.
block Mamba2(
  /// Width of the stream.
  dim: int,
  /// Heads of the state.
  heads: int,
  /// Width of each head.
  head_dim: int = 2 * dim / heads,
  /// Rows of a head's state.
  state_dim: int = 128,
  /// How many groups of heads have keys (B) and queries (C) of their own.
  groups: int = 1,
  /// Number of rows of the short convolution.
  width: int = 4,
  /// Whether the maps into and out of the block have a bias.
  bias: bool = false,
  /// Whether the short convolution has one.
  conv_bias: bool = true,
  /// Added to the mean square, against division by zero.
  eps: float = 1e-5,
) {
  /// Columns of the gate, of x, B and C, then of dt.
  in_proj: Linear(dim, 2 * heads * head_dim + 2 * groups * state_dim + heads, bias: bias)
  conv:    ShortConv(heads * head_dim + 2 * groups * state_dim, width, conv_bias)
  weight dt_bias: f32[heads] = uniform(-6.9, -2.25)
  weight a_log:   f32[heads] = uniform(0.0, 2.77)
  weight d:       f32[heads] = ones
  norm:     RMSNorm(heads * head_dim, eps)
  out_proj: Linear(heads * head_dim, dim, bias: bias)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    inner = heads * head_dim
    (gate, rows, steps) = split(
      in_proj(x), [inner, inner + 2 * groups * state_dim, heads], axis: -1,
    )
    parts   = split(silu(conv(rows)), [inner, groups * state_dim, groups * state_dim], axis: -1)
    dt      = softplus(rearrange(steps, "b t h -> b h t") + dt_bias[:, None])         // f32[B, heads, T]
    values  = rearrange(parts[0], "b t (h p) -> b h t p", h: heads)
    keys    = rearrange(parts[1], "b t (g n) -> b g t n", g: groups)
    queries = rearrange(parts[2], "b t (g n) -> b g t n", g: groups)
    y       = linear_attention(
      queries, keys, dt[..., None] * values, log_decay: -exp(a_log)[:, None] * dt,
    )
    rows    = rearrange(y + d[:, None, None] * values, "b h t p -> b t (h p)")
    out_proj(norm(rows * silu(gate)))
  }
}

/// Rows of heads with length 1.
block L2Norm(
  /// Added to the squared length, against division by zero.
  eps: float = 1e-6,
) {
  forward(x: f32[...]) -> f32[...] { x * rsqrt(sum(x ^ 2, axis: -1, keep: true) + eps) }
}

/// A gated DeltaNet (Yang et al. 2024, arXiv 2412.06464), as transformers' Qwen3NextGatedDeltaNet. Returns its update.
block GatedDeltaNet(
  /// Width of the stream.
  dim: int,
  /// Heads of the values.
  heads: int,
  /// Width of each.
  head_dim: int = dim / heads,
  /// Heads of queries and keys; divides `heads`.
  key_heads: int = heads,
  /// Width of each.
  key_dim: int = head_dim,
  /// Number of rows of the short convolution.
  width: int = 4,
  /// Added to the mean square, against division by zero.
  eps: float = 1e-6,
) {
  /// A head of the keys after the other, each with the query, the key, and the values and gates of the heads that share it.
  qkvz: Linear(dim, 2 * key_heads * key_dim + 2 * heads * head_dim, bias: false)
  /// The same of beta and the rates.
  ba:   Linear(dim, 2 * heads, bias: false)
  conv: ShortConv(2 * key_heads * key_dim + heads * head_dim, width)
  weight dt_bias: f32[heads] = ones
  weight a_log:   f32[heads] = uniform(0.0, 2.77)
  norm: RMSNorm(head_dim, eps)
  out:  Linear(heads * head_dim, dim, bias: false)
  l2:   L2Norm()
  rule: DeltaRule(heads / key_heads)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    shared  = heads / key_heads
    by_head = rearrange(qkvz(x), "b t (g c) -> b t g c", g: key_heads)
    parts   = split(by_head, [key_dim, key_dim, shared * head_dim, shared * head_dim], axis: -1)
    joined  = concat([for i in 0..3: rearrange(parts[i], "b t g c -> b t (g c)")], axis: -1)
    mixed   = split(
      silu(conv(joined)), [key_heads * key_dim, key_heads * key_dim, heads * head_dim], axis: -1,
    )
    q       = l2(rearrange(mixed[0], "b t (g k) -> b g t k", g: key_heads))
    k       = l2(rearrange(mixed[1], "b t (g k) -> b g t k", g: key_heads))
    v       = rearrange(mixed[2], "b t (h v) -> b h t v", h: heads)
    (b, a) = split(
      rearrange(ba(x), "b t (g c) -> b t g c", g: key_heads), [shared, shared], axis: -1,
    )
    beta = sigmoid(rearrange(b, "b t g s -> b (g s) t"))
    rate = -exp(a_log)[:, None] * softplus(rearrange(a, "b t g s -> b (g s) t") + dt_bias[:, None])
    y    = rule(q * rsqrt(tensor([key_dim])), k, v, beta, rate)
    z    = rearrange(parts[3], "b t g (s v) -> b (g s) t v", s: shared)
    out(rearrange(norm(y) * silu(z), "b h t v -> b t (h v)"))
  }
}

/// Kimi delta attention (Kimi Linear, arXiv 2510.26692), as flash-linear-attention's layer: the delta rule, and
/// each row of the state has its own decay. Returns its update.
block KDA(
  /// Width of the stream.
  dim: int,
  /// Heads of queries, keys and values.
  heads: int,
  /// Width of each.
  head_dim: int = dim / heads,
  /// Number of rows of the short convolutions.
  width: int = 4,
  /// Added to the mean square, against division by zero.
  eps: float = 1e-5,
) {
  q:         Linear(dim, heads * head_dim, bias: false)
  k:         Linear(dim, heads * head_dim, bias: false)
  v:         Linear(dim, heads * head_dim, bias: false)
  q_conv:    ShortConv(heads * head_dim, width)
  k_conv:    ShortConv(heads * head_dim, width)
  v_conv:    ShortConv(heads * head_dim, width)
  rate_down: Linear(dim, head_dim, bias: false)
  rate_up:   Linear(head_dim, heads * head_dim, bias: false)
  beta:      Linear(dim, heads, bias: false)
  weight a_log:   f32[heads] = uniform(0.0, 2.77)
  weight dt_bias: f32[heads * head_dim] = zeros
  gate_down: Linear(dim, head_dim, bias: false)
  gate_up:   Linear(head_dim, heads * head_dim)
  norm:      RMSNorm(head_dim, eps)
  o:         Linear(heads * head_dim, dim, bias: false)
  l2:        L2Norm()

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    queries = l2(rearrange(silu(q_conv(q(x))), "b t (h d) -> b h t d", h: heads))
    keys    = l2(rearrange(silu(k_conv(k(x))), "b t (h d) -> b h t d", h: heads))
    values  = rearrange(silu(v_conv(v(x))), "b t (h d) -> b h t d", h: heads)
    steps   = softplus(rate_up(rate_down(x)) + dt_bias)
    rate    = -exp(a_log)[:, None, None] * rearrange(steps, "b t (h d) -> b h t d", h: heads)
    b       = rearrange(sigmoid(beta(x)), "b t h -> b h t 1")
    y       = linear_attention(
      queries * rsqrt(tensor([head_dim])), keys, b * values,
      log_decay: rate, forget: b * keys, at: exp(rate) * keys,
    )
    g       = rearrange(gate_up(gate_down(x)), "b t (h d) -> b h t d", h: heads)
    o(rearrange(norm(y) * sigmoid(g), "b h t d -> b t (h d)"))
  }
}

/// A map through few columns: up(down(x)), or up(act(down(x))).
block Bottleneck(
  /// Width of input and result.
  dim: int,
  /// Width between.
  rank: int,
  /// The function between: "none", "tanh" or "sigmoid".
  act: string = "none",
  /// Whether a bias is added to the result.
  bias: bool = true,
) {
  down: Linear(dim, rank, bias: false)
  up:   Linear(rank, dim, bias: bias)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    y = down(x)
    if act == "tanh" {
      z = tanh(y)
    } else if act == "sigmoid" {
      z = sigmoid(y)
    } else if act == "none" {
      z = y
    }
    up(z)
  }
}

/// Time mixing of RWKV-7 (Peng et al. 2025, arXiv 2503.14456, section 4.1): a delta rule with a decay and a rate of learning
/// for each row of the state. The first layer is `mix(x)`, and later ones are `mix(x, first.values(x))`, because these mix
/// the first layer's values with their own. Returns its update.
block RWKV7TimeMix(
  /// Width of the stream.
  dim: int,
  /// Width of each head.
  head_dim: int = 64,
  /// Whether it is the model's first.
  first: bool = true,
  /// Width inside the maps that make decays.
  decay_rank: int = 32,
  /// Width inside the map that makes rates of learning.
  rate_rank: int = 32,
  /// Width inside the map that makes shares of the first layer's values.
  value_rank: int = 32,
  /// Width inside the map that makes the gate.
  gate_rank: int = 32,
) {
  /// How far each map reads the row before instead of the token's own.
  weight x_r: f32[dim] = uniform(0.0, 1.0)
  weight x_w: f32[dim] = uniform(0.0, 1.0)
  weight x_k: f32[dim] = uniform(0.0, 1.0)
  weight x_v: f32[dim] = uniform(0.0, 1.0)
  weight x_a: f32[dim] = uniform(0.0, 1.0)
  weight x_g: f32[dim] = uniform(0.0, 1.0)
  weight k_k: f32[dim] = ones
  weight k_a: f32[dim] = ones
  weight r_k: f32[dim / head_dim, head_dim] = zeros
  r:      Linear(dim, dim, bias: false)
  k:      Linear(dim, dim, bias: false)
  v:      Linear(dim, dim, bias: false)
  o:      Linear(dim, dim, bias: false)
  w_lora: Bottleneck(dim, decay_rank, "tanh")
  a_lora: Bottleneck(dim, rate_rank)
  g_lora: Bottleneck(dim, gate_rank, "sigmoid", false)
  weight norm_weight: f32[dim] = ones
  weight norm_bias:   f32[dim] = zeros
  if first {
    forward(x: f32[B, T, dim]) -> f32[B, T, dim] { along(x, values(x)) }
  } else {
    v_lora: Bottleneck(dim, value_rank)

    /// `values` are of the first layer.
    forward(x: f32[B, T, dim], values: f32[B, T, dim]) -> f32[B, T, dim] {
      rows = x + (earlier(x, 1) - x) * x_v
      own  = v(rows)
      along(x, own + (values - own) * sigmoid(v_lora(rows)))
    }
  }

  /// What the layers above take from the first layer.
  values(x: f32[B, T, dim]) -> f32[B, T, dim] { v(x + (earlier(x, 1) - x) * x_v) }

  /// With these values, before they are split into heads.
  along(x: f32[B, T, dim], values: f32[B, T, dim]) -> f32[B, T, dim] {
    heads   = dim / head_dim
    step    = earlier(x, 1) - x
    queries = r(x + step * x_r)
    decay   = -0.6065306597126334 * sigmoid(w_lora(x + step * x_w))             // −1 / √e at most
    keys    = k(x + step * x_k)
    rate    = sigmoid(a_lora(x + step * x_a))
    gate    = g_lora(x + step * x_g)
    marks   = rearrange(keys * k_k, "b t (h d) -> b h t d", h: heads)
    marks   = marks * rsqrt(max(sum(marks ^ 2, axis: -1, keep: true), 1e-24))
    rows    = [for y in [queries, keys * (1 + (rate - 1) * k_a), values, decay, rate]:
                 rearrange(y, "b t (h d) -> b h t d", h: heads)]
    y       = linear_attention(
      rows[0], rows[1], rows[2], log_decay: rows[3], forget: rows[4] * marks, at: marks,
    )
    centred = y - mean(y, axis: -1, keep: true)
    normal  = centred * rsqrt(var(y, axis: -1, keep: true) + head_dim * 1e-5)
    own     = sum(rows[0] * rows[1] * r_k[:, None], axis: -1, keep: true) * rows[2]
    merged  = rearrange(normal, "b h t d -> b t (h d)") * norm_weight + norm_bias
    o((merged + rearrange(own, "b h t d -> b t (h d)")) * gate)
  }
}

/// Channel mixing of RWKV-7 (Peng et al. 2025, arXiv 2503.14456, section 4.2): value(relu(key(x moved to the row before))²).
/// Returns its update.
block RWKV7ChannelMix(
  /// Width of the stream.
  dim: int,
  /// Width inside.
  hidden: int = 4 * dim,
) {
  /// How far it reads the row before instead of the token's own.
  weight x_k: f32[dim] = uniform(0.0, 1.0)
  key:   Linear(dim, hidden, bias: false)
  value: Linear(hidden, dim, bias: false)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    value(relu(key(x + (earlier(x, 1) - x) * x_k)) ^ 2)
  }
}

/// The real-gated linear recurrent unit (De et al. 2024, arXiv 2402.19427, section 2.4), as transformers'
/// RecurrentGemmaRglru: y_t = a_t y_(t−1) + √(1 − a_t²) · input_gate · x_t with a = exp(−8 · softplus(rate) · recurrent_gate);
/// at the text's first token the root is 1. Its gradient is at most 1000.
block RGLRU(
  /// Number of channels.
  dim: int,
  /// How many blocks the gates' matrices have along their diagonal.
  heads: int = 1,
) {
  weight rate:                  f32[dim] = uniform(-6.9, -2.2)
  weight input_gate_weight:     f32[heads, dim / heads, dim / heads]
  weight input_gate_bias:       f32[heads, dim / heads] = zeros
  weight recurrent_gate_weight: f32[heads, dim / heads, dim / heads]
  weight recurrent_gate_bias:   f32[heads, dim / heads] = zeros

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] {
    rows      = rearrange(x, "b t (h d) -> b h t d", h: heads)
    opened    = sigmoid(rows @ input_gate_weight + input_gate_bias[:, None])
    kept      = sigmoid(rows @ recurrent_gate_weight + recurrent_gate_bias[:, None])
    log_decay = -8.0 * rearrange(kept, "b h t d -> b t (h d)") * softplus(rate)
    share     = 1.0 - exp(2.0 * log_decay)
    steep     = where(share < 2.5e-7, 1000.0 * share, sqrt(max(share, 2.5e-7)))
    root      = straight(sqrt(share), steep)
    begins    = (position(x) == 0)[..., None]
    scan(
      x * rearrange(opened, "b h t d -> b t (h d)") * where(begins, 1.0, root),
      log_decay: log_decay,
    )
  }
}

/// The recurrent block of Griffin (De et al. 2024, arXiv 2402.19427, section 2.3), as transformers'
/// RecurrentGemmaRecurrentBlock: out(unit(conv(in_x(x))) · gelu(in_y(x))). Returns its update.
block Griffin(
  /// Width of the stream.
  dim: int,
  /// Number of channels of the recurrence.
  channels: int = dim,
  /// How many blocks the gates' matrices have along their diagonal.
  heads: int = 1,
  /// Number of rows of the short convolution.
  width: int = 4,
) {
  in_x: Linear(dim, channels)
  in_y: Linear(dim, channels)
  conv: ShortConv(channels, width, true)
  unit: RGLRU(channels, heads)
  out:  Linear(channels, dim)

  forward(x: f32[B, T, dim]) -> f32[B, T, dim] { out(unit(conv(in_x(x))) * gelu_tanh(in_y(x))) }
}
